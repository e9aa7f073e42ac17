"""The environments on the disk: found, held while in use, and thrown away when there is no room.

environments/<key>/venv                the environment
environments/<key>/requirements.txt    what it was made of
environments/<key>/lock                held (flock, shared) by every job that runs in it;
                                       its time of change is that of the last use
environments/<key>/compiled            there once its modules have bytecode
environments/builds/<key>/             see builder.py
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asgard_async.execution.environments.key import FOR_ONE_JOB
from asgard_async.execution.locks import is_held

BUILDS = "builds"


@dataclass(frozen=True, kw_only=True)
class CachedEnvironment:
    """A whole environment."""

    directory: Path

    @property
    def key(self) -> str:
        return self.directory.name

    @property
    def is_for_one_job(self) -> bool:
        return self.key.startswith(FOR_ONE_JOB)

    @property
    def python(self) -> Path:
        """Its interpreter; a link, not to be resolved."""
        return self.directory / "venv" / "bin" / "python"

    @property
    def modules(self) -> Path:
        """Where its packages are."""
        return self.directory / "venv" / "lib"

    @property
    def compiled(self) -> Path:
        return self.directory / "compiled"

    @property
    def is_compiled(self) -> bool:
        """Whether its modules have bytecode."""
        return self.compiled.exists()

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def requirements(self) -> list[str]:
        return (self.directory / "requirements.txt").read_text().split("\n")[:-1]

    @property
    def last_used_at(self) -> datetime:
        return datetime.fromtimestamp(self.lock.stat().st_mtime, UTC)

    def size_bytes(self) -> int:
        """What throwing it away gives back: files linked from elsewhere (uv's cache) count their
        share."""
        total = 0
        for folder, _, names in os.walk(self.directory):
            for name in names:
                with contextlib.suppress(OSError):
                    facts = os.lstat(os.path.join(folder, name))  # noqa: PTH118  # many
                    total += facts.st_blocks * 512 // facts.st_nlink
        return total

    def is_in_use(self) -> bool:
        """Whether a job runs in it."""
        return is_held(self.lock)


class EnvironmentCache:
    """The environments below one directory; safe beside other processes that use it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path_of(self, key: str) -> Path:
        """Where the environment of that name is, or will be."""
        return self.directory / key

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[CachedEnvironment | None]:
        """The environment of that name, kept from being thrown away; None if there is none."""
        environment = CachedEnvironment(directory=self.path_of(key))
        try:
            descriptor = os.open(environment.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            # it may have been thrown away between the opening and the lock
            if os.fstat(descriptor).st_nlink == 0 or not environment.lock.exists():
                yield None
                return
            os.utime(descriptor)
            yield environment
        finally:
            os.close(descriptor)

    def all(self) -> list[CachedEnvironment]:
        """All whole environments, the one used longest ago first."""
        if not self.directory.exists():
            return []
        found = []
        for path in self.directory.iterdir():
            if path.name.startswith("."):
                continue
            environment = CachedEnvironment(directory=path)
            # others may remove it meanwhile, and builds/ has no lock
            with contextlib.suppress(FileNotFoundError):
                found.append((environment.last_used_at, environment))
        return [environment for _, environment in sorted(found, key=lambda one: one[0])]

    def remove(self, environment: CachedEnvironment) -> bool:
        """Throw an environment away; False when a job uses it."""
        try:
            descriptor = os.open(environment.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # somebody else may have removed it, and a third have built it again
            if not os.path.samestat(os.fstat(descriptor), environment.lock.stat()):
                return False
            # out of sight first: half an environment must not be found
            doomed = environment.directory.with_name(f".{environment.key}.{os.getpid()}")
            environment.directory.rename(doomed)
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        shutil.rmtree(doomed, ignore_errors=True)
        return True

    def sweep(self) -> None:
        """Finish removals that were killed. Another process that is at one is not hindered."""
        for path in self.directory.glob(".*.*"):
            shutil.rmtree(path, ignore_errors=True)

    def prune(self, *, max_bytes: int, but: str = "") -> list[str]:
        """Throw away those used longest ago, but for one, until the rest fits; their keys.

        Those made for one job that has ended go in any case.
        """
        environments = [environment for environment in self.all() if environment.key != but]
        sizes = {environment.key: environment.size_bytes() for environment in environments}
        total = sum(sizes.values())
        removed = []
        for environment in environments:
            if total <= max_bytes and not environment.is_for_one_job:
                continue
            if self.remove(environment):
                total -= sizes[environment.key]
                removed.append(environment.key)
        return removed
