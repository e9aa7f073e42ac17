"""Directories that jobs use together, each with a lock: thrown away only while nobody uses them."""

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
    """A directory with a file `lock` in it, which is held (flock, shared) by every user of it; the
    file's time of change is that of the last use."""

    directory: Path

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def last_used_at(self) -> datetime:
        return datetime.fromtimestamp(self.lock.stat().st_mtime, UTC)

    def size_bytes(self) -> int:
        """What throwing it away gives back: files linked from elsewhere (uv's cache) count their
        share."""
        return sum(
            facts.st_blocks * BLOCK // max(1, facts.st_nlink)
            for facts in statuses_below([str(self.directory)])
        )

    def is_in_use(self) -> bool:
        """Whether a job uses it."""
        return is_held(self.lock)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[bool]:
        """Keep it from being thrown away, and note the use; False if it is not there (any more)."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            # it may have been thrown away between the opening and the lock
            if os.fstat(descriptor).st_nlink == 0 or not self.lock.exists():
                yield False
                return
            os.utime(descriptor)
            yield True
        finally:
            os.close(descriptor)

    def remove(self) -> bool:
        """Throw it away; False when it is in use, or somebody else was quicker."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # somebody else may have removed it, and a third have made it again
            if not os.path.samestat(os.fstat(descriptor), self.lock.stat()):
                return False
            # out of sight first: half of one must not be found
            removal = self.directory.with_name(f".{self.directory.name}.{os.getpid()}")
            self.directory.rename(removal)
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        remove_tree(removal)
        return True


def sweep(parent: Path) -> None:
    """Finish removals below `parent` that were killed. A process that is at one is not hindered."""
    for path in parent.glob(".*.*"):
        remove_tree(path)
