"""The interface between the storage of job logs, which depends on the executor, and readers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Wake = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class LogSlice:
    """The bytes of a log from `offset` up to `next`.

    Offsets count every byte that the job wrote. If output was dropped to save disk space, the log
    has a hole: a range of offsets without bytes.
    """

    data: bytes
    offset: int
    next: int
    is_cut: bool = False
    """True if the hole begins at `next`."""
    size: int = 0
    """Length of the log when it was read."""


@dataclass(frozen=True, kw_only=True)
class TimedSlice(LogSlice):
    """A slice with the times at which its bytes were written."""

    parts: Sequence[tuple[int, int | None]] = ()
    """The parts of the slice in order: the end of each, and the time of writing in milliseconds
    since 1970, or None if unknown."""


class LogSource(Protocol):
    """The logs of an executor's jobs. A job without output has an empty log."""

    async def exists(self, job_id: str) -> bool:
        """Return whether a job has a log, from the start of its script until it is deleted."""

    async def size(self, job_id: str) -> int:
        """Return the length of a job's log in bytes, including dropped ones."""

    async def read(self, job_id: str, offset: int, limit: int) -> LogSlice:
        """Read at most `limit` bytes from `offset` on; if it is in a hole, from the hole's end on.

        The slice is shorter at the end of the log and before a hole. For an offset beyond the end,
        return an empty slice at the end.
        """

    async def read_timed(self, job_id: str, offset: int, limit: int) -> TimedSlice:
        """Read like `read`, with the time of each part."""

    async def tail(self, job_id: str, count: int) -> LogSlice:
        """Read the last `count` bytes; fewer if the log is shorter or has a hole there."""

    def watching(self, job_id: str, wake: Wake) -> AbstractContextManager[None]:
        """Call `wake` inside the context when the log has changed; it may be called more often."""
