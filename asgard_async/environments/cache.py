"""The environments on the disk: found, held while in use, and thrown away when there is no room.

environments/<key>/venv                the environment
environments/<key>/requirements.txt    what it was made of
environments/<key>/lock                held (flock, shared) by every job that runs in it;
                                       its time of change is that of the last use
environments/<key>/compiled            there once its modules have bytecode
environments/builds/<key>/             see builder.py
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from asgard_async.environments.spec import FOR_ONE_JOB
from asgard_async.supervisor.shared_directory import LeasedDirectory, sweep


class CachedEnvironment(LeasedDirectory):
    """A whole environment."""

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
    def requirements(self) -> list[str]:
        return (self.directory / "requirements.txt").read_text().split("\n")[:-1]


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
        with environment.in_use() as is_there:
            yield environment if is_there else None

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
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found.append((environment.last_used_at, environment))
        return [environment for _, environment in sorted(found, key=lambda one: one[0])]

    def sweep(self) -> None:
        """Finish removals that were killed."""
        sweep(self.directory)

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
            if environment.remove():
                total -= sizes[environment.key]
                removed.append(environment.key)
        return removed
