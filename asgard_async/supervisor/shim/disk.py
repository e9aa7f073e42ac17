"""The disk usage of a job's directories, measured in small slices between other work."""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator

from .walk import Walk

BLOCK = 512
"""The unit of st_blocks on every file system."""
LEAST_BYTES = 4096
"""The minimum size of an entry, since a directory full of empty files uses space, too."""
CHECK_SECONDS = 1.0
"""Interval between checks of the growth of the whole file system, with one system call each."""
WALK_SECONDS = 30.0
"""Maximum time between two walks through the directories: other processes may free as much space as
the job uses, which hides its growth."""
SLICE_SECONDS = 0.005
REST_SECONDS = 0.02
"""Pause after each slice of a walk, in which the job's output is copied."""


class DiskWatch:
    """Checks that `directories`, plus the growth of `caches`, stay within `limit` bytes.

    Links are not followed. Deleted files count while one of `processes` (process ids) has them
    open.
    """

    def __init__(
        self,
        directories: "list[str]",
        caches: "list[str]",
        limit: int,
        processes: "Callable[[], Iterable[int]]",
    ) -> None:
        self._directories = directories + caches
        self._limit = limit
        self._processes = processes
        # the first walk measures the initial size of the caches
        self._tree = Walk(caches)
        self._walk: Iterator[int] | None = _sizes_below(self._tree) if caches else None
        self._is_first = bool(caches)
        self._size = self._counted = 0
        self._taken = self._on_file_system()
        # the initial size, such as an unpacked archive, is not known yet
        self._walk_at = time.monotonic() + CHECK_SECONDS
        self.due = time.monotonic() if caches else self._walk_at
        """The time of the next call of `check` (monotonic)."""

    def check(self) -> bool:
        """Measure for one slice; return whether the limit is exceeded."""
        now = time.monotonic()
        if self._walk is None:
            growth = self._on_file_system() - self._taken
            if now < self._walk_at and self._counted + growth < self._limit:
                self.due = now + CHECK_SECONDS
                return False
            self._taken += growth
            self._size = 0
            self._walk = self._sizes()
        for size in self._walk:
            self._size += size
            if self._size > self._limit and not self._is_first:
                return True
            if time.monotonic() - now > SLICE_SECONDS:
                self.due = time.monotonic() + REST_SECONDS
                return False
        if self._tree.is_too_large:
            return True  # nested so deeply that it can only be an attempt to hide files
        self._walk = None
        self.due = time.monotonic() + CHECK_SECONDS
        if self._is_first:
            self._is_first = False
            self._limit += self._size
        else:
            self._counted = self._size
            # a job that moves its directories about hides some of them from a walk
            pause = WALK_SECONDS if self._tree.is_complete else CHECK_SECONDS
            self._walk_at = time.monotonic() + pause
        return False

    def _on_file_system(self) -> int:
        """Return the bytes in use on the directories' file system, by anyone."""
        try:
            status = os.statvfs(self._directories[0])
        except OSError:  # the job has removed it
            return 0
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def _sizes(self) -> Iterator[int]:
        self._tree = Walk(self._directories)
        yield from _sizes_below(self._tree)
        yield from _sizes_of_deleted(self._devices(), self._processes())

    def _devices(self) -> "set[int]":
        devices = set()
        for directory in self._directories:
            try:
                devices.add(os.stat(directory).st_dev)
            except OSError:
                continue
        return devices


def allocated_bytes(directories: "list[str]") -> int:
    """Return the disk space of all files below `directories`, whoever shares it by links."""
    return sum(status.st_blocks * BLOCK for status in Walk(directories))


def size_of_entry(status: os.stat_result) -> int:
    """Return the disk space of a file; its links share it."""
    links = 1 if stat.S_ISDIR(status.st_mode) else max(1, status.st_nlink)
    return status.st_blocks * BLOCK // links


def _sizes_below(walk: Walk) -> Iterator[int]:
    for status in walk:
        yield max(LEAST_BYTES, size_of_entry(status))


def _sizes_of_deleted(devices: "set[int]", processes: "Iterable[int]") -> Iterator[int]:
    """Yield the sizes of deleted files that `processes` have open, and 0 for other descriptors."""
    seen = set()
    for pid in processes:
        folder = f"/proc/{pid}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:  # gone by now, or not accessible
            continue
        for descriptor in descriptors:
            size = 0
            try:
                status = os.stat(f"{folder}/{descriptor}")
            except OSError:
                continue
            identity = status.st_dev, status.st_ino
            if (
                not status.st_nlink
                and stat.S_ISREG(status.st_mode)
                and status.st_dev in devices
                and identity not in seen
            ):
                seen.add(identity)
                size = status.st_blocks * BLOCK
            yield size
