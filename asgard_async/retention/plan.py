"""What has to go: decided from facts alone, before anything is touched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from asgard_async.config import RetentionConfig

SECONDS_OF_DAY = 24 * 3600


class Kind(StrEnum):
    """What can be thrown away, in the order in which it goes when there is no room."""

    DIRECTORY = "directory"
    """What a job left in its working directory."""
    LOG = "log"
    ARCHIVE = "archive"
    JOB = "job"
    """All of a job: its record and whatever it still has."""
    STRAY = "stray"
    """Files of a job that is not known any more, or an archive that no job names."""
    ENVIRONMENT = "environment"
    CACHE = "cache"
    """What jobs of one owner cached in one environment."""


UNRECORDED_DAYS = 7
"""So much longer a job is kept whose runs MLflow has not told yet."""

FILES = (Kind.DIRECTORY, Kind.LOG, Kind.ARCHIVE)
"""What a job has on the disk; it can lose each of them and still be known."""


@dataclass(frozen=True, kw_only=True)
class KeptJob:
    """A job that has ended, and what it takes on the disk."""

    job_id: str
    ended_at: datetime
    is_recorded: bool
    """Whether MLflow has told its runs."""
    archive: str | None
    bytes_of: dict[Kind, int]
    """By the kinds in FILES; what is not there has none."""


@dataclass(frozen=True, kw_only=True)
class KeptLeased:
    """An environment, or caches, and what it takes on the disk."""

    name: str
    last_used_at: datetime
    size_bytes: int
    is_in_use: bool
    """Whether a job uses it: then it stays, but takes its room."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long one that is not used may stay, and what all of its kind may take."""

    days: float
    """0 for as long as there is room."""
    max_bytes: int | None
    """None for no bound."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Something that is to go."""

    kind: Kind
    name: str
    """Of a job its id, of an environment its key, of caches that and their owner's digest, of a
    stray archive its file."""
    size_bytes: int
    why: str
    archive: str | None = None


def plan(
    jobs: Iterable[KeptJob],
    leased: Mapping[Kind, Sequence[KeptLeased]],
    config: RetentionConfig,
    *,
    bounds: Mapping[Kind, Bounds],
    at: datetime,
) -> list[Removal]:
    """What has to go now, by age first, then by size, what is oldest first."""
    old_first = sorted(jobs, key=lambda job: job.ended_at)
    removal = list(_by_age(old_first, config, at))
    gone = {(one.kind, one.name) for one in removal}
    left = [
        (kind, job)
        for kind in FILES
        for job in old_first
        if job.bytes_of.get(kind)
        and (kind, job.job_id) not in gone
        and (Kind.JOB, job.job_id) not in gone
    ]
    removal += _by_size(left, config.max_files_mb)
    for kind, them in leased.items():
        removal += _leased(kind, them, bounds[kind], at)
    return removal


def _by_age(jobs: Sequence[KeptJob], config: RetentionConfig, at: datetime) -> Iterator[Removal]:
    days_of = {
        Kind.DIRECTORY: config.directories_days,
        Kind.LOG: config.logs_days,
        Kind.ARCHIVE: config.archives_days,
    }
    for job in jobs:
        patience = 0 if job.is_recorded else UNRECORDED_DAYS
        if config.jobs_days and _is_older(job.ended_at, config.jobs_days + patience, at):
            why = f"ended more than {config.jobs_days:g} days ago"
            size = sum(job.bytes_of.values())
            yield Removal(
                kind=Kind.JOB, name=job.job_id, size_bytes=size, why=why, archive=job.archive
            )
            continue
        for kind, days in days_of.items():
            if (size := job.bytes_of.get(kind, 0)) and _is_older(job.ended_at, days, at):
                yield _file(kind, job, size, f"ended more than {days:g} days ago")


def _by_size(left: Sequence[tuple[Kind, KeptJob]], max_mb: int) -> Iterator[Removal]:
    total = sum(job.bytes_of[kind] for kind, job in left)
    for kind, job in left:
        if not max_mb or total <= max_mb << 20:
            return
        total -= (size := job.bytes_of[kind])
        yield _file(kind, job, size, f"more than {max_mb} MiB are kept of jobs")


def _leased(
    kind: Kind, them: Sequence[KeptLeased], bounds: Bounds, at: datetime
) -> Iterator[Removal]:
    total = sum(one.size_bytes for one in them)
    unused = [one for one in them if not one.is_in_use]
    for one in sorted(unused, key=lambda one: one.last_used_at):
        if _is_older(one.last_used_at, bounds.days, at):
            why = f"not used for more than {bounds.days:g} days"
        elif bounds.max_bytes is not None and total > bounds.max_bytes:
            why = f"{kind}s take more than {bounds.max_bytes >> 20} MiB"
        else:
            continue
        total -= one.size_bytes
        yield Removal(kind=kind, name=one.name, size_bytes=one.size_bytes, why=why)


def _file(kind: Kind, job: KeptJob, size: int, why: str) -> Removal:
    archive = job.archive if kind is Kind.ARCHIVE else None
    return Removal(kind=kind, name=job.job_id, size_bytes=size, why=why, archive=archive)


def _is_older(moment: datetime, days: float, at: datetime) -> bool:
    # not `at - timedelta(days)`: the number may reach back to before there are dates
    return days > 0 and (at - moment).total_seconds() > days * SECONDS_OF_DAY
