"""Limits on the resources that one job may use."""

import os
from dataclasses import dataclass

from asgard_async.config import LimitsConfig
from asgard_async.domain.resources import ResourceRequest

MIB = 1 << 20
SYSTEM_SHARE = 10
"""The system keeps the memory divided by this number."""
LEAST_SYSTEM_BYTES = 512 * MIB
"""The system keeps at least this much memory, but never more than half."""


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """Limits of one job: the lower of the configured and the requested ones; 0 for no limit."""

    memory_bytes: int = 0
    cpus: float = 0
    processes: int = 0
    open_files: int = 0
    directory_bytes: int = 0
    file_bytes: int = 0

    @classmethod
    def of(cls, config: LimitsConfig, request: ResourceRequest) -> "ResourceLimits":
        """Return the limits of a job that requests these resources."""
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
        """Return the limits of an environment build: those of a job, with files of any size."""
        return cls(
            memory_bytes=config.memory_mb * MIB,
            cpus=config.cpus,
            processes=config.processes,
            directory_bytes=config.job_dir_mb * MIB,
        )


def _lower(configured: float, requested: float | None) -> float:
    return min((limit for limit in (configured, requested) if limit), default=0)


def total_memory_bytes(config: LimitsConfig, within: int | None) -> int:
    """Return the memory limit of all jobs together: as configured, or all but the system's share.

    `within` is the limit of the surrounding group; None if it has none.
    """
    if config.total_memory_mb:
        return config.total_memory_mb * MIB
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    total = total if within is None else min(total, within)
    return total - min(total // 2, max(total // SYSTEM_SHARE, LEAST_SYSTEM_BYTES))
