"""How much room is left on the disk of the data directory."""

import os
from pathlib import Path


class FreeSpace:
    """Compares the room on a file system with the least that is to stay free."""

    def __init__(self, path: Path, *, floor_bytes: int) -> None:
        self._path = path
        self.floor_bytes = floor_bytes

    def available_bytes(self) -> int:
        """What the service may still write, in bytes (f_bavail of statvfs(3)). No I/O: the kernel
        knows it."""
        found = os.statvfs(self._path)
        return found.f_bavail * found.f_frsize

    def is_short(self) -> bool:
        """Whether less than the floor is left."""
        return self.available_bytes() < self.floor_bytes
