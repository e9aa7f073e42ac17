"""The seam between the place where an executor keeps a job's log and those who read it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Wake = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class LogSlice:
    """Bytes `offset` up to `next` of a log.

    Offsets count every byte that the job wrote. Where output was dropped to bound the disk, the log
    has a hole: its offsets exist, its bytes do not.
    """

    data: bytes
    offset: int
    next: int
    is_cut: bool = False
    """True if the hole begins at `next`."""
    size: int = 0
    """Length of the log at the time of reading."""


@dataclass(frozen=True, kw_only=True)
class TimedSlice(LogSlice):
    """A slice with the times at which its bytes were written."""

    parts: Sequence[tuple[int, int | None]] = ()
    """The parts of the slice in order: the end of each, and the time at which it was written in
    milliseconds since 1970, None where that is unknown."""


class LogSource(Protocol):
    """The logs of an executor's jobs. A job without output has an empty log."""

    async def size(self, job_id: str) -> int:
        """Return the length of a job's log in bytes, dropped ones included."""

    async def read(self, job_id: str, offset: int, limit: int) -> LogSlice:
        """Read at most `limit` bytes from `offset` on, or from the end of a hole around `offset`.

        The slice is shorter at the end of the log and before a hole. An offset beyond the end
        yields an empty slice at the end.
        """

    async def read_timed(self, job_id: str, offset: int, limit: int) -> TimedSlice:
        """Read as `read` does, with the time of each part."""

    async def tail(self, job_id: str, count: int) -> LogSlice:
        """Read the last `count` bytes; fewer if the log is shorter or a hole comes before."""

    def watching(self, job_id: str, wake: Wake) -> AbstractContextManager[None]:
        """Call `wake` inside the context when the log has changed, and perhaps more often."""
