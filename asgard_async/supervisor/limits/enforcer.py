"""Enforcement of job limits on this machine, with control groups where possible."""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from asgard_async.config import LimitsConfig
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.limits import after_stop
from asgard_async.supervisor.limits.cgroup_settings import (
    CgroupParent,
    limit_settings,
    memory_settings,
    write_settings,
)
from asgard_async.supervisor.limits.hierarchies import (
    Hierarchy,
    delegate_controllers,
    find,
    memory_limit,
)
from asgard_async.supervisor.limits.mechanisms import CONTROLLERS, Mechanism, cgroup_mechanism
from asgard_async.supervisor.limits.prewarm import CgroupPrewarm
from asgard_async.supervisor.limits.resource_limits import ResourceLimits, total_memory_bytes
from asgard_async.supervisor.shim import cgroup, files
from asgard_async.supervisor.shim.limits import Limits

logger = logging.getLogger(__name__)

PREFIX = "asgard-"
LATEST = 256
"""Number of attempts to remember. Older ones have created their groups by now, or have ended."""
ADVICE = (
    "run Asgard as a systemd service, which has its own control groups"
    " (asgard service install), or as: systemd-run --user --scope -p Delegate=yes asgard serve"
)


class LimitEnforcer:
    """Enforces limits. Until `open` is called, it uses no control groups."""

    def __init__(
        self,
        config: LimitsConfig,
        *,
        jobs_dir: Path,
        builds_dir: Path,
        service_dirs: Sequence[Path] = (),
    ) -> None:
        """`service_dirs` are the directories of the service's own supervised processes."""
        self._config = config
        self._jobs_dir = jobs_dir
        self._builds_dir = builds_dir
        self._service_dirs = {path.name: path for path in service_dirs}
        # Services on one machine must not share groups. A restarted service computes the same name,
        # so it finds the groups of running jobs.
        self._name = PREFIX + hashlib.sha256(os.fsencode(jobs_dir)).hexdigest()[:12]
        self.parents: list[CgroupParent] = []
        self._service_parents: list[CgroupParent] = []
        """Separate, since the memory of all jobs together is limited."""
        self._prewarm: CgroupPrewarm | None = None
        self._latest: deque[Path] = deque(maxlen=LATEST)

    # --- control groups -------------------------------------------------------------------

    def open(self) -> None:
        """Create the parents of jobs' control groups where possible; blocks."""
        if self._config.cgroups == "off":
            return
        for hierarchy in _hierarchies():
            try:
                self.parents.append(self._create_parent(hierarchy, self._name, is_for_jobs=True))
                self._service_parents.append(
                    self._create_parent(hierarchy, f"{self._name}-services", is_for_jobs=False)
                )
            except OSError as error:
                logger.info("no control groups in %s: %s", hierarchy.directory, error.strerror)
        if self.parents:  # looked up again: the service may have moved into a subgroup
            self._prewarm = CgroupPrewarm(_hierarchies()[0].own / "cgroup.procs")
        logger.info(
            "limits of jobs are enforced by: %s",
            ", ".join(f"{limit} {mechanism}" for limit, mechanism in self.mechanisms.items()),
        )
        self._sweep()

    def _create_parent(self, hierarchy: Hierarchy, name: str, *, is_for_jobs: bool) -> CgroupParent:
        directory, controllers = hierarchy.directory / name, hierarchy.controllers
        if hierarchy.version == 2:
            controllers = delegate_controllers(hierarchy)
        directory.mkdir(mode=0o755, exist_ok=True)
        parent = CgroupParent(
            version=hierarchy.version, directory=directory, controllers=controllers
        )
        if parent.version == 2:
            for controller in controllers:
                (directory / "cgroup.subtree_control").write_text(f"+{controller}")
            after_stop.restore(directory)
        if "memory" in controllers and is_for_jobs:
            self._limit_total(parent, total_memory_bytes(self._config, memory_limit(hierarchy)))
        self._try(parent)
        return parent

    def _limit_total(self, parent: CgroupParent, limit: int) -> None:
        settings = memory_settings(parent, parent.directory, limit)
        if parent.version == 1 and len(settings) > 1:
            # The limit of memory and swap must never be below that of memory, and an earlier
            # service process may have set it.
            settings.insert(0, (settings[1][0], "-1"))
        try:
            write_settings(settings)
        except OSError as error:  # jobs of an earlier service process use more than that
            logger.warning("total_memory_mb takes effect only after the next start: %s", error)

    def _try(self, parent: CgroupParent) -> None:
        """Create a group with a job's settings, and remove it."""
        group = parent.directory / "try"
        with contextlib.suppress(FileNotFoundError):
            group.rmdir()
        group.mkdir()
        try:
            resource_limits = ResourceLimits(memory_bytes=1 << 30, cpus=1, processes=99)
            write_settings(limit_settings(parent, group, resource_limits))
        finally:
            group.rmdir()

    def _sweep(self) -> None:
        """Kill remaining processes in the groups of attempts that have ended.

        There are such processes if both keeper and shim were killed and the attempt's directory no
        longer names its group.
        """
        for parent in (*self.parents, *self._service_parents):
            for group in parent.directory.iterdir():
                if not group.is_dir():
                    continue
                name, _, number = group.name.rpartition(".")
                attempts = (
                    self._jobs_dir / name / "attempts" / number,
                    self._builds_dir / name / number,
                    self._service_dirs.get(name, self._jobs_dir) / "attempts" / number,
                )
                if any(Attempt(directory).is_alive() for directory in attempts):
                    continue
                logger.warning("killing remaining processes of %s", name)
                cgroup.kill([str(group)])
                cgroup.remove([str(group)])

    async def stop(self) -> None:
        """Release the control groups. Do not start attempts after this call."""
        if self._prewarm is not None:
            await self._prewarm.stop()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Remove parents without jobs, unless an attempt is about to create its group there."""
        # a shim creates the group before it writes that the attempt was started
        if any(attempt.is_dir() and not files.is_decided(str(attempt)) for attempt in self._latest):
            return
        for parent in (*self.parents, *self._service_parents):
            with contextlib.suppress(OSError):
                parent.directory.rmdir()

    # --- mechanisms -----------------------------------------------------------------------

    @property
    def mechanisms(self) -> Mapping[str, Mechanism]:
        """The mechanism that enforces each limit."""
        rlimits = Mechanism.RLIMITS
        return {
            "memory": self._cgroup_mechanism("memory")
            or (rlimits if self._config.memory_mb else Mechanism.NOTHING),
            "cpus": self._cgroup_mechanism("cpus") or Mechanism.NOTHING,
            "processes": self._cgroup_mechanism("processes")
            or (rlimits if os.geteuid() else Mechanism.NOTHING),
            "open_files": rlimits,
            "job_dir": Mechanism.WATCHING,
        }

    def _cgroup_mechanism(self, limit: str) -> Mechanism | None:
        return cgroup_mechanism(limit, self.parents)

    @property
    def warning(self) -> str:
        """A sentence about limits that no control group enforces; empty if there are none."""
        missing = [limit for limit in CONTROLLERS if not self._has_cgroup(limit)]
        if not missing or self._config.cgroups == "off":
            return ""
        return f"No control group limits the {', '.join(missing)} of a job: {ADVICE}."

    def _has_cgroup(self, limit: str) -> bool:
        return self._cgroup_mechanism(limit) is not None

    # --- for one job, or one build --------------------------------------------------------

    def address_space_bytes(self, resource_limits: ResourceLimits) -> int:
        """Return the RLIMIT_AS to use instead of a control group; 0 for no limit.

        Libraries reserve more memory than they use, so it is set only if there is a memory limit.
        """
        return 0 if self._has_cgroup("memory") else resource_limits.memory_bytes

    def starting(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the process of a new job enters its group without delay."""
        return self._prewarm.running() if self._prewarm is not None else contextlib.nullcontext()

    def limits(
        self,
        resource_limits: ResourceLimits,
        attempt: Path,
        *,
        own: Sequence[Path],
        caches: Sequence[Path],
    ) -> Limits:
        """Return the limits for an attempt's shim.

        The job's disk limit covers the directories `own` and the growth of `caches`.
        """
        limits = Limits(
            open_files=resource_limits.open_files,
            processes=0 if self._has_cgroup("processes") else resource_limits.processes,
            file_bytes=resource_limits.file_bytes,
            directory_bytes=resource_limits.directory_bytes,
            directories=[str(path) for path in own],
            caches=[str(path) for path in caches],
        )
        if self.parents:
            self._latest.append(attempt)
            limits["cgroup"] = self._cgroup(
                self.parents, resource_limits, cgroup.name_of(str(attempt))
            )
        return limits

    def service_limits(self, resource_limits: ResourceLimits, attempt: Path) -> Limits:
        """Return the limits for an attempt to run one of the service's own processes.

        Its memory does not count as memory of jobs.
        """
        limits = Limits(
            open_files=resource_limits.open_files,
            processes=0,
            file_bytes=0,
            directory_bytes=0,
            directories=[],
            caches=[],
        )
        if self._service_parents:
            limits["cgroup"] = self._cgroup(
                self._service_parents, resource_limits, cgroup.name_of(str(attempt))
            )
        return limits

    def _cgroup(
        self, parents: Sequence[CgroupParent], resource_limits: ResourceLimits, name: str
    ) -> cgroup.Cgroup:
        directories, settings = [], []
        for parent in parents:
            directories.append(str(parent.directory / name))
            settings += limit_settings(parent, parent.directory / name, resource_limits)
        return cgroup.Cgroup(directories=directories, settings=settings)


def _hierarchies() -> Sequence[Hierarchy]:
    try:
        return find()
    except OSError as error:  # /proc is missing, or hides these files
        logger.info("no control groups: %s", os.strerror(error.errno or errno.EIO))
        return []
