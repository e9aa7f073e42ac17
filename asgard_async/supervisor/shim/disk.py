"""How much disk a job's directories take, found out bit by bit beside other work."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator

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
FAR = 2048
"""Characters of a path, after which a walk goes on from a descriptor: the kernel takes paths of
4096 bytes, and a job can nest deeper."""


class DiskWatch:
    """Whether what lies below `directories` is within `limit` bytes, together with what is added
    to `caches`. Links are not followed.

    Files that were removed count as long as one of `processes` (their ids) has them open.
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
        # the first walk finds out what the caches hold already
        self._walk: Iterator[int] | None = _sizes_below(caches) if caches else None
        self._is_first = bool(caches)
        self._size = self._counted = 0
        self._taken = self._on_file_system()
        # what the job begins with (an unpacked archive) is not known yet
        self._walk_at = time.monotonic() + LOOK_SECONDS
        self.due = time.monotonic() if caches else self._walk_at
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
            self._walk = self._sizes()
        try:
            for size in self._walk:
                self._size += size
                if self._size > self._limit and not self._is_first:
                    return True
                if time.monotonic() - now > SLICE_SECONDS:
                    self.due = time.monotonic() + REST_SECONDS
                    return False
        except OSError:
            return True  # nested so deep that it can only be to hide something
        self._walk = None
        self.due = time.monotonic() + LOOK_SECONDS
        if self._is_first:
            self._is_first = False
            self._limit += self._size
        else:
            self._counted = self._size
            self._walk_at = time.monotonic() + WALK_SECONDS
        return False

    def _on_file_system(self) -> int:
        """Bytes in use where the directories lie, by whomever."""
        try:
            there = os.statvfs(self._directories[0])
        except OSError:  # the job has removed it
            return 0
        return (there.f_blocks - there.f_bfree) * there.f_frsize

    def _sizes(self) -> Iterator[int]:
        yield from _sizes_below(self._directories)
        yield from _sizes_of_removed(self._devices(), self._processes())

    def _devices(self) -> "set[int]":
        devices = set()
        for directory in self._directories:
            try:
                devices.add(os.stat(directory).st_dev)
            except OSError:
                continue
        return devices


class _Base:
    """An open directory, closed when nothing below it is left to be looked at."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


def statuses_below(directories: "list[str]") -> "Iterator[os.stat_result]":
    """What lies below directories, however deep. Links are not followed.

    Raises:
        OSError: it is nested so deep that there are no descriptors left (EMFILE).
    """
    pending: list[tuple[_Base | None, str]] = [(None, directory) for directory in directories]
    while pending:
        base, path = pending.pop()
        try:
            here = _Base(_open_directory(path, base))
            entries = os.scandir(here.descriptor)
        except OSError as error:  # gone meanwhile, or closed to us
            if error.errno == errno.EMFILE:
                raise
            continue
        if len(path) > FAR:
            base, path = here, "."
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((base, f"{path}/{entry.name}"))
                except OSError:
                    continue
                yield status


def _sizes_below(directories: "list[str]") -> Iterator[int]:
    for status in statuses_below(directories):
        yield max(LEAST_BYTES, status.st_blocks * BLOCK // max(1, status.st_nlink))


def _open_directory(path: str, base: "_Base | None") -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, dir_fd=None if base is None else base.descriptor)


def _sizes_of_removed(devices: "set[int]", processes: "Iterable[int]") -> Iterator[int]:
    """Files without a name that `processes` have open, each once; 0 for all that is none."""
    seen = set()
    for pid in processes:
        folder = f"/proc/{pid}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:  # gone meanwhile, or closed to us
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
