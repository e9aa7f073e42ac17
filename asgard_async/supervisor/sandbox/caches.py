"""Caches of sandboxed jobs (XDG_CACHE_HOME and the like), one per environment and owner.

cache/jobs/<environment>/<owner>/lock     held (flock, shared) by every job that uses these caches
cache/jobs/<environment>/<owner>/own/     the caches; a root service has one per uid instead

Owners never share a cache, because whoever writes to a cache controls the code that its users run.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.files.descent import open_below
from asgard_async.core.files.regular import DIRECTORY
from asgard_async.core.files.remove_tree import entries_within
from asgard_async.domain.names import cache_environment_of, is_valid, owner_digest_of
from asgard_async.supervisor.shared_directory import LeasedDirectory, sweep

OWN = "own"


class JobCache(LeasedDirectory):
    """The caches of one owner in one environment."""

    @property
    def name(self) -> str:
        """The environment's name and a digest of the owner's name."""
        return f"{self.directory.parent.name}/{self.directory.name}"

    def of_user(self, uid: int | None) -> Path:
        """Return the cache directory of jobs with this uid; None for the service's user."""
        return self.directory / (OWN if uid is None else str(uid))


class JobCaches:
    """All job caches below one directory; safe to use alongside other processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def of(self, environment: str, owner: str) -> JobCache:
        """Return the caches of an owner, which may not exist yet.

        The owner is the name of a token, or empty while no token is required.
        """
        digest = hashlib.sha256(owner.encode()).hexdigest()[:16]
        return self._cache(environment, digest)

    @contextlib.contextmanager
    def opened(self, cache: JobCache, uid: int | None) -> Iterator[Path]:
        """Create the cache directory of a user if needed, and protect it inside the context.

        Raises:
            OSError: the directory cannot be created.
        """
        with contextlib.ExitStack() as stack:
            # the cache may be deleted before its lock is acquired
            while not stack.enter_context(cache.in_use()):
                cache.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    os.close(os.open(cache.lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            directory = cache.of_user(uid)
            directory.mkdir(mode=0o700, exist_ok=True)
            _make_usable(directory, uid)
            yield directory

    def close_others(self, directory: Path, uid: int) -> None:
        """Remove the access of a reused user to all caches except `directory`."""
        for other in self.directory.glob(f"*/*/{uid}"):
            if other != directory and other.lstat().st_uid == uid:
                os.lchown(other, os.geteuid(), os.getegid())

    def all(self) -> list[JobCache]:
        """Return all existing caches."""
        return [
            self._cache(environment, digest)
            for environment in self._environments()
            for digest in entries_within(self.directory, environment)
            if is_valid(owner_digest_of, digest)
            and "lock" in entries_within(self.directory, environment, digest)
        ]

    def sweep(self) -> None:
        """Finish interrupted deletions."""
        for environment in self._environments():
            sweep(self.directory / cache_environment_of(environment))

    def _environments(self) -> list[str]:
        names = entries_within(self.directory)
        return [name for name in names if is_valid(cache_environment_of, name)]

    def _cache(self, environment: str, digest: str) -> JobCache:
        return JobCache(
            directory=self.directory / cache_environment_of(environment) / owner_digest_of(digest)
        )


def _make_usable(directory: Path, uid: int | None) -> None:
    """Restore a user's access; an earlier job may have removed its own permissions."""
    parent = open_below(str(directory.parent))
    try:
        if uid is None:
            # not by descriptor, which needs the permission to read
            os.chmod(directory.name, 0o700, dir_fd=parent)
            return
        descriptor = os.open(directory.name, DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        os.fchmod(descriptor, 0o700)
        os.fchown(descriptor, uid, uid)
    finally:
        os.close(descriptor)
