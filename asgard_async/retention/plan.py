"""The decision about what to delete: computed from recorded facts, before anything is deleted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from asgard_async.config import RetentionConfig

SECONDS_PER_DAY = 24 * 3600


class Kind(StrEnum):
    """The kinds of items that retention deletes."""

    DIRECTORY = "directory"
    """The files that a job left in its working directory."""
    LOG = "log"
    ARCHIVE = "archive"
    JOB = "job"
    """A whole job: its record and all its remaining files."""
    STRAY = "stray"
    """Files of an unknown job, or an archive that no job refers to."""
    ENVIRONMENT = "environment"
    CACHE = "cache"
    """The files that jobs of one owner cached in one environment."""


EXTRA_DAYS_UNRECORDED = 7
"""Extra retention time for a job whose MLflow runs have not been recorded yet."""

FILES = (Kind.DIRECTORY, Kind.LOG, Kind.ARCHIVE)
"""A job's files, in the order in which they are deleted to save space; its record remains."""


@dataclass(frozen=True, kw_only=True)
class StoredJob:
    """An ended job and the disk space that it uses."""

    job_id: str
    ended_at: datetime
    is_recorded: bool
    """True once the job's MLflow runs are recorded."""
    archive: str | None
    bytes_of: dict[Kind, int]
    """Disk space by the kinds in FILES; missing kinds use none."""


@dataclass(frozen=True, kw_only=True)
class StoredDirectory:
    """An environment or a cache, and the disk space that it uses."""

    name: str
    last_used_at: datetime
    size_bytes: int
    is_in_use: bool
    """True if a job is using the directory: it is then kept, but its size counts."""
    is_measured: bool = True
    """False if it is too wide or too deep to be measured completely."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits on unused directories of one kind."""

    days: float
    """Maximum time since the last use; 0 for no limit."""
    max_bytes: int | None
    """Maximum total size; None for no limit."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """An item to delete."""

    kind: Kind
    name: str
    """A job's id, an environment's key, a cache's environment key and owner digest, or the file of
    a stray archive."""
    size_bytes: int
    why: str
    archive: str | None = None


def plan(
    jobs: Iterable[StoredJob],
    directories: Mapping[Kind, Sequence[StoredDirectory]],
    config: RetentionConfig,
    *,
    bounds: Mapping[Kind, Bounds],
    at: datetime,
) -> list[Removal]:
    """Return the items to delete now: first by age, then by size, oldest first."""
    oldest_first = sorted(jobs, key=lambda job: job.ended_at)
    removals = list(_expired(oldest_first, config, at))
    expired = {(removal.kind, removal.name) for removal in removals}
    remaining = [
        (kind, job)
        for kind in FILES
        for job in oldest_first
        if job.bytes_of.get(kind)
        and (kind, job.job_id) not in expired
        and (Kind.JOB, job.job_id) not in expired
    ]
    removals += _over_size(remaining, config.max_files_mb)
    for kind, stored in directories.items():
        removals += _unused_directories(kind, stored, bounds[kind], at)
    return removals


def _expired(jobs: Sequence[StoredJob], config: RetentionConfig, at: datetime) -> Iterator[Removal]:
    days_of = {
        Kind.DIRECTORY: config.directories_days,
        Kind.LOG: config.logs_days,
        Kind.ARCHIVE: config.archives_days,
    }
    for job in jobs:
        extra_days = 0 if job.is_recorded else EXTRA_DAYS_UNRECORDED
        if config.jobs_days and _is_older(job.ended_at, config.jobs_days + extra_days, at):
            why = f"ended more than {config.jobs_days:g} days ago"
            size = sum(job.bytes_of.values())
            yield Removal(
                kind=Kind.JOB, name=job.job_id, size_bytes=size, why=why, archive=job.archive
            )
            continue
        for kind, days in days_of.items():
            if (size := job.bytes_of.get(kind, 0)) and _is_older(job.ended_at, days, at):
                yield _file_removal(kind, job, size, f"ended more than {days:g} days ago")


def _over_size(files: Sequence[tuple[Kind, StoredJob]], max_mb: int) -> Iterator[Removal]:
    total = sum(job.bytes_of[kind] for kind, job in files)
    for kind, job in files:
        if not max_mb or total <= max_mb << 20:
            return
        total -= (size := job.bytes_of[kind])
        yield _file_removal(kind, job, size, f"job files exceed {max_mb} MiB")


def _unused_directories(
    kind: Kind, directories: Sequence[StoredDirectory], bounds: Bounds, at: datetime
) -> Iterator[Removal]:
    total = sum(directory.size_bytes for directory in directories)
    unused = [directory for directory in directories if not directory.is_in_use]
    for directory in sorted(unused, key=lambda directory: directory.last_used_at):
        if _is_older(directory.last_used_at, bounds.days, at):
            why = f"not used for more than {bounds.days:g} days"
        elif bounds.max_bytes is not None and total > bounds.max_bytes:
            why = f"{kind}s exceed {bounds.max_bytes >> 20} MiB"
        elif not directory.is_measured:
            why = "cannot be measured completely"  # or jobs could hide files from `max_bytes`
        else:
            continue
        total -= directory.size_bytes
        yield Removal(kind=kind, name=directory.name, size_bytes=directory.size_bytes, why=why)


def _file_removal(kind: Kind, job: StoredJob, size: int, why: str) -> Removal:
    archive = job.archive if kind is Kind.ARCHIVE else None
    return Removal(kind=kind, name=job.job_id, size_bytes=size, why=why, archive=archive)


def _is_older(moment: datetime, days: float, at: datetime) -> bool:
    # not `at - timedelta(days)`, which overflows for a large number of days
    return days > 0 and (at - moment).total_seconds() > days * SECONDS_PER_DAY
