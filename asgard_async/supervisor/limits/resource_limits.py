"""How much of the machine one job may use."""

import os
from dataclasses import dataclass

from asgard_async.config import LimitsConfig
from asgard_async.domain.resources import ResourceRequest

MIB = 1 << 20
LEFT_TO_THE_SYSTEM = 10
"""One part in so many of the memory …"""
LEAST_LEFT_BYTES = 512 * MIB
"""… and no less than this, but never more than half."""


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """Limits of one job, 0 for none: the lower of what is configured and what it asked for."""

    memory_bytes: int = 0
    cpus: float = 0
    processes: int = 0
    open_files: int = 0
    directory_bytes: int = 0
    file_bytes: int = 0

    @classmethod
    def of(cls, config: LimitsConfig, request: ResourceRequest) -> "ResourceLimits":
        """The limits of a job that asks for these resources."""
        return cls(
            memory_bytes=int(_lower(config.memory_mb, request.memory_mb) * MIB),
            cpus=_lower(config.cpus, request.cpus),
            processes=config.processes,
            open_files=config.open_files,
            directory_bytes=config.job_dir_mb * MIB,
            file_bytes=config.file_mb * MIB,
        )

    @classmethod
    def of_build(cls, config: LimitsConfig) -> "ResourceLimits":
        """What the build of an environment gets: as much as a job, with files of any size."""
        return cls(
            memory_bytes=config.memory_mb * MIB,
            cpus=config.cpus,
            processes=config.processes,
            directory_bytes=config.job_dir_mb * MIB,
        )


def _lower(configured: float, asked: float | None) -> float:
    return min((one for one in (configured, asked) if one), default=0)


def total_memory_bytes(config: LimitsConfig, within: int | None) -> int:
    """What all jobs together may use: as configured, else all but what the system needs.

    `within` is the limit of the group that all this is in, None where it has none.
    """
    if config.total_memory_mb:
        return config.total_memory_mb * MIB
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    there = there if within is None else min(there, within)
    return there - min(there // 2, max(there // LEFT_TO_THE_SYSTEM, LEAST_LEFT_BYTES))
