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
        return JobCache(directory=self.directory / environment / digest)

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
            directory.chmod(0o700)  # an earlier job may have removed its own permissions
            if uid is not None:
                os.chown(directory, uid, uid)
            yield directory

    def close_others(self, directory: Path, uid: int) -> None:
        """Remove the access of a reused user to all caches except `directory`."""
        for other in self.directory.glob(f"*/*/{uid}"):
            if other != directory and other.lstat().st_uid == uid:
                os.lchown(other, os.geteuid(), os.getegid())

    def all(self) -> list[JobCache]:
        """Return all existing caches."""
        return [JobCache(directory=lock.parent) for lock in self.directory.glob("[!.]*/[!.]*/lock")]

    def sweep(self) -> None:
        """Finish interrupted deletions."""
        for environment in self.directory.glob("[!.]*"):
            sweep(environment)
