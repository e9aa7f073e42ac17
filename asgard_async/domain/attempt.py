"""Attempts, each one start of a job, and their results.

The database records an attempt before it starts, so every running attempt has a record. The id
alone is enough to find the attempt again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from asgard_async.domain.job import Started


@dataclass(frozen=True, kw_only=True)
class AttemptId:
    """Identifies one start of a job."""

    job_id: str
    number: int


class End(Enum):
    """The ways in which an attempt can end."""

    EXITED = auto()
    """The job's process exited; `exit_code` or `signal` has the details."""
    START_FAILED = auto()
    """The start failed: no user code ran, and none will in this attempt."""
    NOT_STARTED = auto()
    """The attempt was given up before any process started, and will not start."""
    LOST = auto()
    """The attempt ran, but its result is unknown."""


class Stop(Enum):
    """The reason for stopping an attempt."""

    REQUESTED = "requested"
    TIMEOUT = "timeout"
    DISK = "disk"
    """The job exceeded its disk limit; it is killed without a grace period."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The facts about an attempt that has ended; all of its processes are gone."""

    end: End
    exit_code: int | None = None
    signal: int | None = None
    stop: Stop | None = None
    killed: bool = False
    """True if SIGTERM did not end the job and SIGKILL was needed."""
    error: str | None = None
    """Why the start failed and what to do, as the end of a sentence."""
    started: Started | None = None
    ended_at: datetime | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None
    oom_kills: int = 0
    """The number of the job's processes that the kernel killed because memory ran out."""
    reached_memory_limit: bool = False
    """True if the job reached its own memory limit, not only the limit of all jobs together."""
    stopped_by_shutdown: bool = False
    """True if the job was stopped because the machine on which it ran shut down."""
