"""Environments on disk: looked up, protected while in use, deleted to free space.

environments/<key>/venv                the environment
environments/<key>/requirements.txt    its requirements
environments/<key>/lock                held (flock, shared) by every job that runs in it;
                                       its modification time is that of the last use
environments/<key>/compiled            exists once its modules have bytecode
environments/builds/<key>/             see builder.py
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from asgard_async.environments.spec import FOR_ONE_JOB
from asgard_async.supervisor.shared_directory import LeasedDirectory, sweep


class CachedEnvironment(LeasedDirectory):
    """A complete environment."""

    @property
    def key(self) -> str:
        return self.directory.name

    @property
    def is_for_one_job(self) -> bool:
        return self.key.startswith(FOR_ONE_JOB)

    @property
    def python(self) -> Path:
        """Its interpreter, a link that must not be resolved."""
        return self.directory / "venv" / "bin" / "python"

    @property
    def modules(self) -> Path:
        """The directory of its packages."""
        return self.directory / "venv" / "lib"

    @property
    def compiled(self) -> Path:
        return self.directory / "compiled"

    @property
    def is_compiled(self) -> bool:
        """True once its modules have bytecode."""
        return self.compiled.exists()

    @property
    def requirements(self) -> list[str]:
        return (self.directory / "requirements.txt").read_text().split("\n")[:-1]


class EnvironmentCache:
    """The environments below one directory; safe to use alongside other processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path_of(self, key: str) -> Path:
        """The directory of an environment, whether it exists or not."""
        return self.directory / key

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[CachedEnvironment | None]:
        """The environment, protected from deletion; None if it does not exist."""
        environment = CachedEnvironment(directory=self.path_of(key))
        with environment.in_use() as exists:
            yield environment if exists else None

    def all(self) -> list[CachedEnvironment]:
        """All complete environments, the least recently used one first."""
        if not self.directory.exists():
            return []
        found = []
        for path in self.directory.iterdir():
            if path.name.startswith("."):
                continue
            environment = CachedEnvironment(directory=path)
            # other processes may delete it meanwhile, and builds/ has no lock
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found.append((environment.last_used_at, environment))
        return [environment for _, environment in sorted(found, key=lambda pair: pair[0])]

    def sweep(self) -> None:
        """Finish interrupted deletions."""
        sweep(self.directory)

    def prune(self, *, max_bytes: int, but: str = "") -> list[str]:
        """Delete the least recently used environments until the rest fits; return their keys.

        `but` names an environment to keep. Those built for one job that has ended are always
        deleted.
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
