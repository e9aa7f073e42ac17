"""Selection of the isolation level that the service runs jobs at."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from asgard_async.config import Config, ConfigError, IsolationConfig
from asgard_async.config.data_directory import DataDirectory
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.sandbox.builder import SandboxBuilder
from asgard_async.supervisor.sandbox.caches import JobCaches
from asgard_async.supervisor.sandbox.mounts import Mount
from asgard_async.supervisor.sandbox.probe import Prober
from asgard_async.supervisor.sandbox.uids import Uids
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
"""Advice to administrators on levels that do not work."""


class IsolationSelector:
    """Selects an isolation level once, when the service starts, and creates sandboxes for it."""

    def __init__(self, config: Config, data: DataDirectory) -> None:
        """Levels are not tested until `choose` is called.

        Raises:
            ConfigError: a configured path does not exist, or there are too few uids.
        """
        self._config, self._data = config.isolation, data
        _check_paths(self._config, data)
        concurrent = config.jobs.slots + config.environments.max_concurrent_builds
        if self._config.uids <= concurrent:
            raise ConfigError(
                "[isolation] uids must exceed the number of concurrent jobs and builds"
                f" ({concurrent})"
            )
        files = [path for source in config.sources.values() if (path := Path(source)).is_file()]
        self._builder = SandboxBuilder(self._config, private=[data.root, *files])
        self.uids = Uids(data.uids, first=self._config.first_uid, count=self._config.uids)
        self.caches = JobCaches(data.job_caches)
        self._is_chosen = asyncio.Event()
        self._level: Isolation | None = None
        self.problems: dict[Isolation, str] = {}
        """Reasons why better levels, or the configured one, do not work."""

    # --- selection ------------------------------------------------------------------------

    @property
    def level(self) -> Isolation | None:
        """The selected level; None before the selection, or if no level works."""
        return self._level

    @property
    def selected(self) -> Isolation:
        """The selected level; use this only after the selection."""
        assert self._level is not None  # noqa: S101
        return self._level

    @property
    def problem(self) -> str | None:
        """A sentence that says why no jobs can be started."""
        if self._level is not None:
            return None
        level = self._config.level
        reason = "; ".join(self.problems.values()) or "it is being tested"
        return f"Jobs cannot be isolated as configured ([isolation] level = {level!r}): {reason}."

    @property
    def warning(self) -> str:
        """A sentence about better levels that do not work; empty if there are none."""
        if self._level is None or not self.problems:
            return ""
        reasons = "; ".join(f"{level}: {problem}" for level, problem in self.problems.items())
        return f"Jobs are isolated only by {self._level}; better levels do not work ({reasons})."

    async def available(self) -> None:
        """Wait until jobs can be started."""
        await self._is_chosen.wait()

    async def choose(self) -> None:
        """Test the levels; select the best one that works, or the configured one if it works."""
        self._level = await self.examine()
        for level, problem in self.problems.items():
            logger.warning("isolation level %s does not work here: %s", level, problem)
        if self._level is None:
            logger.error("no jobs are started: %s", self.problem)
            return
        logger.info("jobs are isolated by %s", self._level)
        self._data.set_traversable(self.needs_traversal)
        self._is_chosen.set()

    async def examine(self) -> Isolation | None:
        """Test the levels and return the one to select, if any; set `problems` of the others."""
        configured, self.problems = self._config.level, {}
        for level in Isolation if configured == "auto" else [Isolation(configured)]:
            if (problem := await self._problem_of(level)) is None:
                return level
            self.problems[level] = problem
        return None

    async def _problem_of(self, level: Isolation) -> str | None:
        prober = Prober(self._builder, directory=self._data.probe, uid=self.uids.reserved)
        was_traversable = self._data.is_traversable
        if level in {Isolation.USER, Isolation.SANDBOX_LITE} and os.geteuid() == 0:
            self._data.set_traversable(True)
        try:
            return await prober.problem(level)
        finally:
            self._data.set_traversable(was_traversable)

    # --- sandboxes at the selected level --------------------------------------------------

    @property
    def is_sandboxed(self) -> bool:
        """True if jobs are isolated from each other at all."""
        return self._level is not Isolation.PROCESS

    @property
    def needs_traversal(self) -> bool:
        """True if users other than the service's user must reach the directories of jobs."""
        return os.geteuid() == 0 and self._level in {Isolation.USER, Isolation.SANDBOX_LITE}

    def sandbox(
        self,
        mounts: Sequence[Mount],
        *,
        uid: int | None,
        python: Path | None = None,
        shared: bool = True,
        temporary: Path | None = None,
    ) -> SandboxSpec | None:
        """Return the sandbox of a process, by default in the service's interpreter.

        None if jobs are not isolated. See `SandboxBuilder.sandbox`.
        """
        return self._builder.sandbox(
            self.selected,
            python=python or Path(sys.executable),
            mounts=mounts,
            uid=uid,
            shared=shared,
            temporary=temporary,
        )

    def landlock_only(self, mounts: Sequence[Mount]) -> SandboxSpec | None:
        """Return a sandbox with Landlock only, for a process that runs no untrusted code.

        None if jobs are not isolated.
        """
        return (
            self._builder.landlock_only(Path(sys.executable), mounts) if self.is_sandboxed else None
        )

    @contextlib.contextmanager
    def reserve_uid(self, *, highest: bool = False) -> Iterator[int | None]:
        """Reserve a user for a job, a build or a compilation; None if the service is not root.

        Raises:
            NoUidLeft: every uid is in use.
        """
        if os.geteuid():
            yield None
            return
        with self.uids.reserve(highest=highest) as uid:
            yield uid

    @property
    def mlflow_uid(self) -> int | None:
        """The fixed user of the embedded MLflow server; None for the service's user."""
        return self.uids.reserved if os.geteuid() == 0 and self.is_sandboxed else None

    def names_of(self, uid: int | None) -> list[Mount]:
        """Return mounts that give a user a name; none for the service's user."""
        return [] if uid is None else self.uids.names(uid)

    def cache_of(self, environment: str) -> Path:
        """Return the path of the cache directory inside a sandbox.

        The path is the same for all owners and users, and that of the fork server's own cache, so
        paths that libraries remember from their import remain valid in a job. The files differ:
        nothing outside of a sandbox reads what jobs write.
        """
        if not self.is_sandboxed:
            return self._data.cache
        return self._data.cache_of_fork_server(environment)


def _check_paths(config: IsolationConfig, data: DataDirectory) -> None:
    root = data.root.resolve()
    for key in ("read_only", "read_write"):
        for text in getattr(config, key):
            path = Path(text)
            if not path.exists():
                raise ConfigError(f"[isolation] {key}: {text} does not exist")
            if root in (path.resolve(), *path.resolve().parents):
                raise ConfigError(f"[isolation] {key}: {text} is in Asgard's own data directory")
