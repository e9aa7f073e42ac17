"""Control group settings: the files to write and their values, for both versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asgard_async.supervisor.limits.resource_limits import ResourceLimits

CPU_PERIOD_US = 100_000
LEAST_CPU_QUOTA_US = 1000
"""The kernel's minimum."""

Setting = tuple[str, str]
"""A file, and the value written to it."""


@dataclass(frozen=True, kw_only=True)
class CgroupParent:
    """The directory of one hierarchy in which the groups of jobs are created."""

    version: int
    directory: Path
    controllers: frozenset[str]


def write_settings(settings: Sequence[Setting]) -> None:
    """Write settings in order.

    Raises:
        OSError: the kernel refuses a value.
    """
    for path, value in settings:
        Path(path).write_text(value)


def limit_settings(
    parent: CgroupParent, group: Path, resource_limits: ResourceLimits
) -> list[Setting]:
    """Return the settings that limit a group below `parent`, as far as its controllers allow."""
    settings: list[Setting] = []
    if "memory" in parent.controllers and resource_limits.memory_bytes:
        settings += memory_settings(parent, group, resource_limits.memory_bytes)
    if "memory" in parent.controllers and parent.version == 2:
        settings.append((str(group / "memory.oom.group"), "1"))
    if "pids" in parent.controllers and resource_limits.processes:
        settings.append((str(group / "pids.max"), str(resource_limits.processes)))
    if "cpu" in parent.controllers and resource_limits.cpus:
        quota = max(LEAST_CPU_QUOTA_US, round(resource_limits.cpus * CPU_PERIOD_US))
        if parent.version == 2:
            settings.append((str(group / "cpu.max"), f"{quota} {CPU_PERIOD_US}"))
        else:
            settings.append((str(group / "cpu.cfs_period_us"), str(CPU_PERIOD_US)))
            settings.append((str(group / "cpu.cfs_quota_us"), str(quota)))
    return settings


def memory_settings(parent: CgroupParent, group: Path, limit: int) -> list[Setting]:
    """Return settings that limit memory, and disable swap if the kernel accounts for it.

    A job that swaps slows down the whole machine.
    """
    if parent.version == 2:
        settings = [(str(group / "memory.max"), str(limit))]
        swap = ("memory.swap.max", "0")
    else:
        settings = [(str(group / "memory.limit_in_bytes"), str(limit))]
        swap = ("memory.memsw.limit_in_bytes", str(limit))
    # a kernel built or booted without swap accounting has no such file
    if (parent.directory / swap[0]).exists():
        settings.append((str(group / swap[0]), swap[1]))
    return settings
