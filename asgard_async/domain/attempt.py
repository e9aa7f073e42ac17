"""Attempts to run a job, and their results.

The database records the id of an attempt before the attempt starts, so every running attempt has a
record. The id alone is enough to find the attempt again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from asgard_async.domain.job import Started


@dataclass(frozen=True, kw_only=True)
class AttemptId:
    """Identifies one attempt to run a job."""

    job_id: str
    number: int


class End(Enum):
    """The way in which an attempt ended."""

    EXITED = auto()
    """The job's process ended; see `exit_code` and `signal`."""
    START_FAILED = auto()
    """The attempt failed before any of the user's code ran."""
    NOT_STARTED = auto()
    """The attempt was abandoned before anything started; nothing will start later."""
    LOST = auto()
    """The attempt ran, but its result is unknown."""


class Stop(Enum):
    """The cause of stopping an attempt early."""

    REQUESTED = "requested"
    TIMEOUT = "timeout"
    DISK = "disk"
    """The job exceeded its disk space limit; it is killed without a grace period."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The result of an attempt whose processes have all exited."""

    end: End
    exit_code: int | None = None
    signal: int | None = None
    stop: Stop | None = None
    killed: bool = False
    """True if the job ignored SIGTERM and was killed with SIGKILL."""
    error: str | None = None
    started: Started | None = None
    ended_at: datetime | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None
    oom_kills: int = 0
    """Number of the job's processes that the kernel killed for lack of memory."""
    reached_memory_limit: bool = False
    """True if the job reached its own memory limit, not only the limit of all jobs together."""
