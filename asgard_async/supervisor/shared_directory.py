"""Directories shared by jobs, with locks that protect them from deletion while in use."""

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asgard_async.core.files.locks import is_held
from asgard_async.core.files.regular import open_regular
from asgard_async.core.files.remove_tree import entries_within, remove_tree
from asgard_async.supervisor.disk_usage import DiskUsage, usage_of

INTERRUPTED = re.compile(r"\.[0-9a-z]+\.[0-9]+")
"""The name of a directory that is being deleted; see `LeasedDirectory.remove`."""


@dataclass(frozen=True, kw_only=True)
class LeasedDirectory:
    """A directory with a lock file, on which every job that uses it holds a shared lock (flock).

    The modification time of the lock file is the time of the last use.
    """

    directory: Path

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def last_used_at(self) -> datetime:
        status = self.lock.lstat()
        if not stat.S_ISREG(status.st_mode) or not stat.S_ISDIR(self.directory.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory with a lock", self.directory)
        return datetime.fromtimestamp(status.st_mtime, UTC)

    def usage(self) -> DiskUsage:
        """Return the disk space that deletion would free.

        Files with links elsewhere, such as in uv's cache, count proportionally.
        """
        return usage_of(self.directory)

    def size_bytes(self) -> int:
        """Return the disk space that deletion would free; see `usage`."""
        return self.usage().size_bytes

    def is_in_use(self) -> bool:
        """Return whether a job uses the directory."""
        return is_held(self.lock)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[bool]:
        """Protect the directory from deletion and record its use; yield False if it is missing."""
        try:
            descriptor = open_regular(self.lock, os.O_RDWR)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            # the directory may have been deleted before the lock was acquired
            if os.fstat(descriptor).st_nlink == 0 or not self.lock.exists():
                yield False
                return
            os.utime(descriptor)
            yield True
        finally:
            os.close(descriptor)

    def remove(self) -> bool:
        """Delete the directory; return False if it is in use or another process deletes it."""
        try:
            descriptor = open_regular(self.lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # other processes may have deleted and recreated the directory
            if not os.path.samestat(os.fstat(descriptor), self.lock.stat()):
                return False
            # renamed first, so that no process finds a partly deleted directory
            removal = self.directory.with_name(f".{self.directory.name}.{os.getpid()}")
            self.directory.rename(removal)
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        remove_tree(removal)
        return True


def sweep(parent: Path) -> None:
    """Finish interrupted deletions below `parent`; harmless to deletions in progress."""
    for name in entries_within(parent):
        if INTERRUPTED.fullmatch(name):
            remove_tree(parent / name)
