"""The rung that the service stands on, and the walls of its jobs that follow from it."""

import asyncio
import contextlib
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asgard_async.config import Config, ConfigError, IsolationConfig
from asgard_async.config.data_directory import DataDirectory
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.sandbox.builder import SandboxBuilder
from asgard_async.supervisor.sandbox.caches import JobCaches
from asgard_async.supervisor.sandbox.mounts import Mount, read, write
from asgard_async.supervisor.sandbox.probe import Prober
from asgard_async.supervisor.sandbox.uids import Uids, give
from asgard_async.supervisor.shim.sandbox import SandboxSpec

logger = logging.getLogger(__name__)

REMEDIES = {
    Isolation.SANDBOX: (
        "allow user namespaces (sysctl user.max_user_namespaces,"
        " kernel.apparmor_restrict_unprivileged_userns=0), or run the service as root; in a"
        " container: --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
    ),
    Isolation.SANDBOX_LITE: "boot with landlock in lsm=, on Linux 5.13 or newer",
    Isolation.USER: (
        "run the service as root, with an interpreter and a data directory that others can reach"
    ),
}
"""What an administrator can do where a rung does not work."""


@dataclass(frozen=True, kw_only=True)
class AttemptSandbox:
    """What an attempt gets of its rung."""

    isolation: Isolation
    sandbox: SandboxSpec | None
    cache: Path
    """Where its caches are, as it sees it."""
    kept_cache: Path | None
    """Where they are for everybody else; None where they are the service's, too."""
    held: Sequence[Path]
    """Files to be locked as long as it lives."""
    uid: int | None
    """The user that it is to be; None to stay the service's."""


class IsolationSelector:
    """Chosen once at the start, and kept for the life of the service."""

    def __init__(self, config: Config, data: DataDirectory) -> None:
        """Nothing is tried before `choose`.

        Raises:
            ConfigError: what jobs may read or write is not there.
        """
        self._config, self._data = config.isolation, data
        _check_paths(self._config, data)
        at_once = config.jobs.slots + config.environments.max_concurrent_builds
        if self._config.uids <= at_once:
            raise ConfigError(
                f"[isolation] uids: must be more than jobs and builds run at once ({at_once})"
            )
        files = [path for source in config.sources.values() if (path := Path(source)).is_file()]
        self._builder = SandboxBuilder(self._config, private=[data.root, *files])
        self._uids = Uids(data.uids, first=self._config.first_uid, count=self._config.uids)
        self._caches = JobCaches(data.job_caches)
        self._chosen = asyncio.Event()
        self._level: Isolation | None = None
        self.problems: dict[Isolation, str] = {}
        """Why better rungs, or the one that is wanted, do not work."""

    # --- choosing -------------------------------------------------------------------------

    @property
    def level(self) -> Isolation | None:
        """The one that jobs are on; None while none is chosen, or where it does not work."""
        return self._level

    @property
    def problem(self) -> str | None:
        """Why no jobs can be started, a sentence."""
        if self._level is not None:
            return None
        level = self._config.level
        why = "; ".join(self.problems.values()) or "it is being tried"
        return f"Jobs cannot be isolated as configured ([isolation] level = {level!r}): {why}."

    @property
    def warning(self) -> str:
        """What is weaker than it should be, a sentence; nothing where an administrator wants it."""
        if self._level is None or not self.problems:
            return ""
        why = "; ".join(f"{level}: {problem}" for level, problem in self.problems.items())
        return f"Jobs are isolated by {self._level!s} alone, since better does not work ({why})."

    async def available(self) -> None:
        """Wait until jobs can be started."""
        await self._chosen.wait()

    async def choose(self) -> None:
        """Try the rungs, and take the best one that works, or the one that is named if it does."""
        self._level = await self.examine()
        for level, problem in self.problems.items():
            logger.warning("isolation %s does not work here: %s", level, problem)
        if self._level is None:
            logger.error("no jobs are started: %s", self.problem)
            return
        logger.info("jobs are isolated by %s", self._level)
        self._data.let_through(self.is_passed_through)
        self._chosen.set()

    async def examine(self) -> Isolation | None:
        """The rung that would be taken, if any; those above it are left in `problems`."""
        wanted, self.problems = self._config.level, {}
        for level in Isolation if wanted == "auto" else [Isolation(wanted)]:
            if (problem := await self._problem_of(level)) is None:
                return level
            self.problems[level] = problem
        return None

    async def _problem_of(self, level: Isolation) -> str | None:
        # that of no job
        prober = Prober(self._builder, directory=self._data.probe, uid=self._uids.reserved)
        was_let_through = self._data.is_let_through
        if level in {Isolation.USER, Isolation.SANDBOX_LITE} and os.geteuid() == 0:
            self._data.let_through(True)
        try:
            return await prober.problem(level)
        finally:
            self._data.let_through(was_let_through)

    # --- what follows ---------------------------------------------------------------------

    @property
    def is_sandboxed(self) -> bool:
        """Whether jobs are kept from each other at all."""
        return self._level is not Isolation.PROCESS

    @property
    def is_passed_through(self) -> bool:
        """Whether other users than the service's own have to reach the directories of jobs."""
        return os.geteuid() == 0 and self._level in {Isolation.USER, Isolation.SANDBOX_LITE}

    def sandbox(
        self, mounts: Sequence[Mount], *, uid: int | None, shared: bool = True
    ) -> SandboxSpec | None:
        """The walls of a program in the service's own interpreter; None where there are none."""
        assert self._level is not None  # noqa: S101  # nobody starts anything before
        python = Path(sys.executable)
        return self._builder.sandbox(
            self._level, python=python, mounts=mounts, uid=uid, shared=shared
        )

    def landlock_only(self, mounts: Sequence[Mount]) -> SandboxSpec | None:
        """The same for one that runs no foreign code: Landlock alone; None where walls are."""
        return (
            self._builder.landlock_only(Path(sys.executable), mounts) if self.is_sandboxed else None
        )

    @contextlib.contextmanager
    def user(self) -> Iterator[int | None]:
        """A user for a program of no job, see `Uids.taken`; None where the service is not root.

        Raises:
            NoUidLeft: see there.
        """
        with self._uids.taken() if os.geteuid() == 0 else contextlib.nullcontext() as uid:
            yield uid

    @property
    def mlflow_uid(self) -> int | None:
        """The user that the embedded MLflow is, always the same; None to stay the service's."""
        return self._uids.reserved if os.geteuid() == 0 and self.is_sandboxed else None

    def lock_of(self, uid: int) -> Path:
        """What the keeper of a program with that user holds."""
        return self._uids.lock_of(uid)

    def names(self, uid: int) -> list[Mount]:
        """See `Uids.names`."""
        return self._uids.names(uid)

    def cache_of(self, environment: str) -> Path:
        """Where a sandbox shows the caches of its jobs: at one place for all owners and users, so
        that what is imported beforehand knows it."""
        if not self.is_sandboxed:
            return self._data.cache
        return self._caches.of(environment, "").of_user(None)

    @contextlib.contextmanager
    def place(
        self, *, python: Path, environment: Path | None, owner: str, own: Sequence[Path]
    ) -> Iterator[AttemptSandbox]:
        """What an attempt is to get; its keeper has it in the end. Blocks, for some file calls.

        `environment` is the directory of one that was built, `owner` whose job it is, `own` the
        directories that it may write.

        Raises:
            NoUidLeft, OSError: see there.
        """
        assert self._level is not None  # noqa: S101  # nobody starts anything before
        name = environment.name if environment is not None else "base"
        seen = self.cache_of(name)
        if not self.is_sandboxed:
            yield AttemptSandbox(
                isolation=self._level, sandbox=None, cache=seen, kept_cache=None, held=(), uid=None
            )
            return
        cache = self._caches.of(name, owner)
        with self.user() as uid, self._caches.opened(cache, uid) as kept:
            if uid is not None:
                for path in own:
                    give(path, uid)
                if environment is not None:
                    _open_to_read(environment)
            if uid is not None and self.is_passed_through:
                self._caches.close_others(kept, uid)
                for path in (*cache.directory.parents[:2], cache.directory):
                    path.chmod(0o711)
            if self._level is not Isolation.SANDBOX:
                seen = kept
            mounts: list[Mount] = [] if environment is None else [read(environment)]
            mounts += [write(kept, seen), *map(write, own)]
            if uid is not None:
                mounts += self._uids.names(uid)
            sandbox = self._builder.sandbox(self._level, python=python, mounts=mounts, uid=uid)
            held = [cache.lock] if uid is None else [cache.lock, self._uids.lock_of(uid)]
            yield AttemptSandbox(
                isolation=self._level,
                sandbox=sandbox,
                cache=seen,
                kept_cache=kept,
                held=held,
                uid=uid,
            )


def _open_to_read(environment: Path) -> None:
    """Let other users read an environment that was built when jobs were the service's own user."""
    if not environment.stat().st_mode & stat.S_IROTH:
        # the directory itself last, by which it is told that all is done
        command = ["/bin/chmod", "-R", "go+rX", *map(str, environment.iterdir())]
        subprocess.run(command, check=True)
        environment.chmod(0o755)


def _check_paths(config: IsolationConfig, data: DataDirectory) -> None:
    root = data.root.resolve()
    for key in ("read_only", "read_write"):
        for text in getattr(config, key):
            path = Path(text)
            if not path.exists():
                raise ConfigError(f"[isolation] {key}: there is no {text}")
            if root in (path.resolve(), *path.resolve().parents):
                raise ConfigError(f"[isolation] {key}: {text} is in Asgard's own data directory")
