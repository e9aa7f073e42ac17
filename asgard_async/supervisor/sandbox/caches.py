"""What walled jobs find in XDG_CACHE_HOME and the like: one each for environment and owner.

cache/jobs/<environment>/<owner>/lock     held (flock, shared) by every job that has these caches
cache/jobs/<environment>/<owner>/own/     the caches; a root service has one for each uid instead

Never another owner's: whoever writes a cache decides what is run from it.
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
        """Of the environment and, unreadable, of the owner."""
        return f"{self.directory.parent.name}/{self.directory.name}"

    def of_user(self, uid: int | None) -> Path:
        """Those for jobs with that user id, or with the service's own."""
        return self.directory / (OWN if uid is None else str(uid))


class JobCaches:
    """All of them, below one directory; safe beside other processes that use them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def of(self, environment: str, owner: str) -> JobCache:
        """Those of an owner, the name of a token (empty while none is needed); they may not be
        there yet."""
        hidden = hashlib.sha256(owner.encode()).hexdigest()[:16]
        return JobCache(directory=self.directory / environment / hidden)

    @contextlib.contextmanager
    def opened(self, cache: JobCache, uid: int | None) -> Iterator[Path]:
        """The directory that jobs of a user may write, made if need be and kept meanwhile.

        Raises:
            OSError: it cannot be made.
        """
        with contextlib.ExitStack() as stack:
            # it may be thrown away before it is held
            while not stack.enter_context(cache.in_use()):
                cache.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    os.close(os.open(cache.lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            kept = cache.of_user(uid)
            kept.mkdir(mode=0o700, exist_ok=True)
            kept.chmod(0o700)  # an earlier job had it, and may have closed it to itself
            if uid is not None:
                os.chown(kept, uid, uid)
            yield kept

    def close_others(self, kept: Path, uid: int) -> None:
        """Take from a user what other owners' jobs left to it."""
        for other in self.directory.glob(f"*/*/{uid}"):
            if other != kept and other.lstat().st_uid == uid:
                os.lchown(other, os.geteuid(), os.getegid())

    def all(self) -> list[JobCache]:
        """Those that there are."""
        return [JobCache(directory=lock.parent) for lock in self.directory.glob("[!.]*/[!.]*/lock")]

    def sweep(self) -> None:
        """Finish removals that were killed."""
        for environment in self.directory.glob("[!.]*"):
            sweep(environment)
