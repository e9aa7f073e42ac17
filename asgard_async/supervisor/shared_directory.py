"""Directories shared by jobs, each with a lock: deleted only while nobody uses them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asgard_async.core.files.locks import is_held
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.supervisor.shim.disk import statuses_below

BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class LeasedDirectory:
    """A directory with a file `lock` in it, of which every user holds a shared lock (flock).

    The file's modification time is that of the last use.
    """

    directory: Path

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def last_used_at(self) -> datetime:
        return datetime.fromtimestamp(self.lock.stat().st_mtime, UTC)

    def size_bytes(self) -> int:
        """The space that its deletion frees.

        A file with links elsewhere, such as in uv's cache, counts only its share.
        """
        return sum(
            facts.st_blocks * BLOCK // max(1, facts.st_nlink)
            for facts in statuses_below([str(self.directory)])
        )

    def is_in_use(self) -> bool:
        """Return whether a job uses it."""
        return is_held(self.lock)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[bool]:
        """Protect it from deletion and record the use; yields False if it does not exist."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            # it may have been deleted between the opening and the lock
            if os.fstat(descriptor).st_nlink == 0 or not self.lock.exists():
                yield False
                return
            os.utime(descriptor)
            yield True
        finally:
            os.close(descriptor)

    def remove(self) -> bool:
        """Delete it; False if it is in use, or if somebody else deleted it first."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # another process may have deleted it, and a third one created it again
            if not os.path.samestat(os.fstat(descriptor), self.lock.stat()):
                return False
            # renamed first: nobody must find half of one
            removal = self.directory.with_name(f".{self.directory.name}.{os.getpid()}")
            self.directory.rename(removal)
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        remove_tree(removal)
        return True


def sweep(parent: Path) -> None:
    """Finish interrupted deletions below `parent`, without disturbing those under way."""
    for path in parent.glob(".*.*"):
        remove_tree(path)
