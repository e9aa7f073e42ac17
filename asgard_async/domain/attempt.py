"""Attempts: one start of a job each, and how they end.

An attempt is named before it is started, so it never runs under a name that the database does not
know. The name alone is enough to find it again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from asgard_async.domain.job import Started


@dataclass(frozen=True, kw_only=True)
class AttemptId:
    """The name of one start of a job."""

    job_id: str
    number: int


class End(Enum):
    """How an attempt is over."""

    EXITED = auto()
    """The job's process ended; `exit_code` or `signal` says how."""
    START_FAILED = auto()
    """Nothing of the user's ran, nor will it under this attempt."""
    NOT_STARTED = auto()
    """It was given up before anything was started; it never will be."""
    LOST = auto()
    """It ran, and nobody knows how it ended."""


class Stop(Enum):
    """Why an attempt was stopped before its own end."""

    REQUESTED = "requested"
    TIMEOUT = "timeout"
    DISK = "disk"
    """Its directory grew beyond what it may take; there is no grace then."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The facts of an attempt that is over, with all its processes gone."""

    end: End
    exit_code: int | None = None
    signal: int | None = None
    stop: Stop | None = None
    killed: bool = False
    """Whether SIGTERM was not enough."""
    error: str | None = None
    started: Started | None = None
    ended_at: datetime | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None
    oom_kills: int = 0
    """How many of its processes were killed for want of memory."""
    reached_memory_limit: bool = False
    """Whether it had its own limit of memory reached, not only all jobs together theirs."""
