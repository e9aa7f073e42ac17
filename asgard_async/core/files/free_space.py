"""Free space on the disk of the data directory."""

import os
from pathlib import Path


class FreeSpace:
    """Compares the free space of a file system with the minimum that must remain."""

    def __init__(self, path: Path, *, floor_bytes: int) -> None:
        self._path = path
        self.floor_bytes = floor_bytes

    def available_bytes(self) -> int:
        """Return the bytes that the service may still write (f_bavail of statvfs(3)).

        The kernel keeps this number, so asking for it does no I/O.
        """
        status = os.statvfs(self._path)
        return status.f_bavail * status.f_frsize

    def is_short(self) -> bool:
        """Return whether less than the minimum is free."""
        return self.available_bytes() < self.floor_bytes
