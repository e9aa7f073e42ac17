"""How much disk a job's directories take, found out bit by bit beside other work."""

import os
import time
from collections.abc import Iterator

BLOCK = 512
"""The unit of st_blocks, whatever the file system."""
LEAST_BYTES = 4096
"""What any entry counts at least: a directory full of empty files is not free."""
LOOK_SECONDS = 1.0
"""How often it is seen how much the whole file system has grown; one system call."""
WALK_SECONDS = 30.0
"""How often the directories are gone through, however little it has grown: others may have
given back what the job took."""
SLICE_SECONDS = 0.005
REST_SECONDS = 0.02
"""A walk takes at most so much at once, then rests; the job's output is pumped meanwhile."""


class DiskWatch:
    """Whether what lies below `directories` is within `limit` bytes. Links are not followed."""

    def __init__(self, directories: "list[str]", limit: int) -> None:
        self._directories = directories
        self._limit = limit
        self._walk: Iterator[int] | None = None
        self._counted = 0
        self._taken = self._on_file_system()
        # what the job begins with (an unpacked archive) is not known yet
        self._walk_at = time.monotonic() + LOOK_SECONDS
        self.due = self._walk_at
        """When `look` is to be called next (monotonic)."""

    def look(self) -> bool:
        """Look on for a moment; whether the limit is exceeded."""
        now = time.monotonic()
        if self._walk is None:
            grown = self._on_file_system() - self._taken
            if now < self._walk_at and self._counted + grown < self._limit:
                self.due = now + LOOK_SECONDS
                return False
            self._taken += grown
            self._size = 0
            self._walk = _sizes(self._directories)
        for size in self._walk:
            self._size += size
            if self._size > self._limit:
                return True
            if time.monotonic() - now > SLICE_SECONDS:
                self.due = time.monotonic() + REST_SECONDS
                return False
        self._walk = None
        self._counted = self._size
        self.due = time.monotonic() + LOOK_SECONDS
        self._walk_at = time.monotonic() + WALK_SECONDS
        return False

    def _on_file_system(self) -> int:
        """Bytes in use where the directories lie, by whomever."""
        try:
            there = os.statvfs(self._directories[0])
        except OSError:  # the job has removed it
            return 0
        return (there.f_blocks - there.f_bfree) * there.f_frsize


def _sizes(directories: "list[str]") -> Iterator[int]:
    pending = list(directories)
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:  # gone meanwhile, or closed to us
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                except OSError:
                    continue
                yield max(LEAST_BYTES, status.st_blocks * BLOCK // status.st_nlink)
