"""Environments on disk, which are protected while in use and deleted to free space.

environments/<key>/venv                the environment
environments/<key>/requirements.txt    its requirements
environments/<key>/lock                held (flock, shared) by every job that uses the environment;
                                       its modification time is the time of the last use
environments/<key>/compiled            exists once all modules are compiled to bytecode
environments/builds/<key>/             see builder.py
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.files.regular import read_regular
from asgard_async.core.files.remove_tree import entries_within
from asgard_async.domain.names import environment_key_of, is_valid
from asgard_async.environments.spec import FOR_ONE_JOB
from asgard_async.supervisor.shared_directory import LeasedDirectory, sweep

MAX_REQUIREMENTS = 16 << 20
"""Bytes of requirements.txt; more than a request can contain."""


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
        """The environment's interpreter, a link that must not be resolved."""
        return self.directory / "venv" / "bin" / "python"

    @property
    def modules(self) -> Path:
        """The directory of the environment's packages."""
        return self.directory / "venv" / "lib"

    @property
    def compiled(self) -> Path:
        return self.directory / "compiled"

    @property
    def is_compiled(self) -> bool:
        """True once all modules are compiled to bytecode."""
        return self.compiled.exists()

    @property
    def requirements(self) -> list[str]:
        content = read_regular(self.directory / "requirements.txt", max_bytes=MAX_REQUIREMENTS)
        return content.decode(errors="replace").split("\n")[:-1]


class EnvironmentCache:
    """The environments below one directory; safe to use alongside other processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path_of(self, key: str) -> Path:
        """Return the directory of an environment, which may not exist.

        Raises:
            InvalidName: the key is not that of an environment.
        """
        return self.directory / environment_key_of(key)

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[CachedEnvironment | None]:
        """Protect an environment from deletion inside the context; None if it does not exist."""
        environment = CachedEnvironment(directory=self.path_of(key))
        with environment.in_use() as exists:
            yield environment if exists else None

    def all(self) -> list[CachedEnvironment]:
        """Return all complete environments, the least recently used one first."""
        environments = []
        for name in entries_within(self.directory):
            if not is_valid(environment_key_of, name):
                continue  # builds/, for example
            environment = CachedEnvironment(directory=self.path_of(name))
            # another process may delete the environment meanwhile
            with contextlib.suppress(OSError):
                environments.append((environment.last_used_at, environment))
        return [environment for _, environment in sorted(environments, key=lambda pair: pair[0])]

    def sweep(self) -> None:
        """Finish interrupted deletions."""
        sweep(self.directory)

    def prune(self, *, max_bytes: int, but: str = "") -> list[str]:
        """Delete the least recently used environments until the others fit; return their keys.

        `but` is the key of an environment to keep. Unused environments for a single job are always
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
