"""By what the limits of jobs are kept on this machine, and the control groups for it."""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from asgard_async.config import LimitsConfig
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.limits.hierarchies import (
    Hierarchy,
    find,
    give_controllers,
    memory_limit,
)
from asgard_async.supervisor.limits.prewarm import CgroupPrewarm
from asgard_async.supervisor.limits.resource_limits import ResourceLimits, total_memory_bytes
from asgard_async.supervisor.shim import cgroup, files
from asgard_async.supervisor.shim.limits import Limits

logger = logging.getLogger(__name__)

CPU_PERIOD_US = 100_000
PREFIX = "asgard-"
LATEST = 256
"""Attempts that are remembered: any before these has made its group, or is over."""
ADVICE = (
    "run Asgard as a service of systemd, which gives it control groups of its own"
    " (asgard service install), or as: systemd-run --user --scope -p Delegate=yes asgard serve"
)


class Mechanism(StrEnum):
    """What keeps a limit."""

    CGROUP_V2 = "cgroup v2"
    CGROUP_V1 = "cgroup v1"
    RLIMITS = "rlimits"
    WATCHING = "watching"
    """The shim looks after it from time to time."""
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class CgroupParent:
    """A directory that holds the groups of jobs, in one hierarchy."""

    version: int
    directory: Path
    controllers: frozenset[str]


class LimitEnforcer:
    """How limits are kept. Before `open` it is as where there are no control groups."""

    def __init__(self, config: LimitsConfig, *, jobs_dir: Path, builds_dir: Path) -> None:
        self._config = config
        self._jobs_dir = jobs_dir
        self._builds_dir = builds_dir
        # services on one machine must not meet in each other's groups
        self._name = PREFIX + hashlib.sha256(os.fsencode(jobs_dir)).hexdigest()[:12]
        self.places: list[CgroupParent] = []
        """Where the groups of jobs are made."""
        self._prewarm: CgroupPrewarm | None = None
        self._begun: deque[Path] = deque(maxlen=LATEST)

    # --- making ---------------------------------------------------------------------------

    def open(self) -> None:
        """Make the groups in which those of jobs are made, where that is possible; blocks."""
        if self._config.cgroups == "off":
            return
        for hierarchy in _hierarchies():
            try:
                self.places.append(self._make(hierarchy))
            except OSError as error:
                logger.info("no control groups in %s: %s", hierarchy.directory, error.strerror)
        if self.places:  # looked for again: it may have stepped down
            self._prewarm = CgroupPrewarm(_hierarchies()[0].own / "cgroup.procs")
        logger.info(
            "limits of jobs are kept by: %s",
            ", ".join(f"{limit} {by}" for limit, by in self.by.items()),
        )
        self._sweep()

    def _make(self, hierarchy: Hierarchy) -> CgroupParent:
        directory, controllers = hierarchy.directory / self._name, hierarchy.controllers
        if hierarchy.version == 2:
            controllers = give_controllers(hierarchy)
        directory.mkdir(mode=0o755, exist_ok=True)
        place = CgroupParent(
            version=hierarchy.version, directory=directory, controllers=controllers
        )
        if place.version == 2:
            for controller in controllers:
                (directory / "cgroup.subtree_control").write_text(f"+{controller}")
        if "memory" in controllers:
            self._limit_all(place, total_memory_bytes(self._config, memory_limit(hierarchy)))
        self._try(place)
        return place

    def _limit_all(self, place: CgroupParent, limit: int) -> None:
        settings = _memory(place, place.directory, limit)
        if place.version == 1 and len(settings) > 1:
            # that of memory with swap is never the lower one; an earlier life may have set it
            settings.insert(0, (settings[1][0], "-1"))
        try:
            _write(settings)
        except OSError as error:  # jobs of an earlier life use more than that
            logger.warning("total_memory_mb does not hold before the next start: %s", error)

    def _try(self, place: CgroupParent) -> None:
        """Make a group as a job gets it, and remove it."""
        tried = place.directory / "try"
        with contextlib.suppress(FileNotFoundError):
            tried.rmdir()
        tried.mkdir()
        try:
            _write(
                _settings(place, tried, ResourceLimits(memory_bytes=1 << 30, cpus=1, processes=99))
            )
        finally:
            tried.rmdir()

    def _sweep(self) -> None:
        """End what is left in groups whose attempts are over: both guardians were killed, and the
        attempt's directory says nothing any more."""
        for place in self.places:
            for group in place.directory.iterdir():
                if not group.is_dir():
                    continue
                name, _, number = group.name.rpartition(".")
                attempts = (
                    self._jobs_dir / name / "attempts" / number,
                    self._builds_dir / name / number,
                )
                if any(Attempt(directory).is_alive() for directory in attempts):
                    continue
                logger.warning("what is left of job or build %s is ended", name)
                cgroup.kill([str(group)])
                cgroup.remove([str(group)])

    async def stop(self) -> None:
        """Do as `close`, when nothing is started any more."""
        if self._prewarm is not None:
            await self._prewarm.stop()
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Remove the groups that hold no job, unless one is about to make its own there."""
        if any(attempt.is_dir() and not (attempt / files.EXIT).exists() for attempt in self._begun):
            return
        for place in self.places:
            with contextlib.suppress(OSError):
                place.directory.rmdir()

    # --- telling --------------------------------------------------------------------------

    @property
    def by(self) -> Mapping[str, Mechanism]:
        """By what each limit is kept."""
        configured = self._config
        rlimits = Mechanism.RLIMITS
        return {
            "memory": self._by_group("memory")
            or (rlimits if configured.memory_mb else Mechanism.NOTHING),
            "cpus": self._by_group("cpu") or Mechanism.NOTHING,
            "processes": self._by_group("pids") or (rlimits if os.geteuid() else Mechanism.NOTHING),
            "open_files": rlimits,
            "job_dir": Mechanism.WATCHING,
        }

    def _by_group(self, controller: str) -> Mechanism | None:
        for place in self.places:
            if controller in place.controllers:
                return Mechanism.CGROUP_V2 if place.version == 2 else Mechanism.CGROUP_V1
        return None

    @property
    def warning(self) -> str:
        """What an administrator should mend; nothing when all limits are kept by the kernel."""
        missing = [name for name in ("memory", "cpus", "processes") if not self._is_kept(name)]
        if not missing or self._config.cgroups == "off":
            return ""
        return f"No control group limits the {', '.join(missing)} of a job: {ADVICE}."

    def _is_kept(self, limit: str) -> bool:
        return self.by[limit] in {Mechanism.CGROUP_V1, Mechanism.CGROUP_V2}

    # --- for one job, or one build -----------------------------------------------------------

    def address_space_bytes(self, resource_limits: ResourceLimits) -> int:
        """RLIMIT_AS for want of a group; 0 for none. Libraries reserve more than they use, so it
        is only set where somebody wants a limit."""
        return 0 if self._is_kept("memory") else resource_limits.memory_bytes

    def starting(self) -> contextlib.AbstractContextManager[None]:
        """To be within while a job is started: its process then enters its group at once."""
        return self._prewarm.made() if self._prewarm is not None else contextlib.nullcontext()

    def limits(
        self,
        resource_limits: ResourceLimits,
        attempt: Path,
        *,
        own: Sequence[Path],
        caches: Sequence[Path],
    ) -> Limits:
        """What the shim of an attempt is told; `own` are the directories that the job fills, and
        of `caches` counts by how much they grow."""
        limits = Limits(
            open_files=resource_limits.open_files,
            processes=0 if self._is_kept("processes") else resource_limits.processes,
            file_bytes=resource_limits.file_bytes,
            directory_bytes=resource_limits.directory_bytes,
            directories=[str(path) for path in own],
            caches=[str(path) for path in caches],
        )
        if self.places:
            self._begun.append(attempt)
            limits["cgroup"] = self._group(resource_limits, cgroup.name_of(str(attempt)))
        return limits

    def _group(self, resource_limits: ResourceLimits, name: str) -> cgroup.Cgroup:
        directories, settings = [], []
        for place in self.places:
            directories.append(str(place.directory / name))
            settings += _settings(place, place.directory / name, resource_limits)
        return cgroup.Cgroup(directories=directories, settings=settings)


def _hierarchies() -> Sequence[Hierarchy]:
    try:
        return find()
    except OSError as error:  # no /proc, or one that hides this
        logger.info("no control groups: %s", os.strerror(error.errno or errno.EIO))
        return []


Setting = tuple[str, str]
"""A file, and what is written to it."""


def _write(settings: Sequence[Setting]) -> None:
    for path, value in settings:
        Path(path).write_text(value)


def _settings(place: CgroupParent, group: Path, resource_limits: ResourceLimits) -> list[Setting]:
    settings: list[Setting] = []
    if "memory" in place.controllers and resource_limits.memory_bytes:
        settings += _memory(place, group, resource_limits.memory_bytes)
    if "memory" in place.controllers and place.version == 2:
        settings.append((str(group / "memory.oom.group"), "1"))
    if "pids" in place.controllers and resource_limits.processes:
        settings.append((str(group / "pids.max"), str(resource_limits.processes)))
    if "cpu" in place.controllers and resource_limits.cpus:
        quota = max(1000, round(resource_limits.cpus * CPU_PERIOD_US))
        if place.version == 2:
            settings.append((str(group / "cpu.max"), f"{quota} {CPU_PERIOD_US}"))
        else:
            settings.append((str(group / "cpu.cfs_period_us"), str(CPU_PERIOD_US)))
            settings.append((str(group / "cpu.cfs_quota_us"), str(quota)))
    return settings


def _memory(place: CgroupParent, group: Path, limit: int) -> list[Setting]:
    """Without swap, where it is accounted for: else a job would slow down the whole machine."""
    if place.version == 2:
        settings = [(str(group / "memory.max"), str(limit))]
        swap = ("memory.swap.max", "0")
    else:
        settings = [(str(group / "memory.limit_in_bytes"), str(limit))]
        swap = ("memory.memsw.limit_in_bytes", str(limit))
    # a kernel built or started without accounting of swap has no such file
    if (place.directory / swap[0]).exists():
        settings.append((str(group / swap[0]), swap[1]))
    return settings
