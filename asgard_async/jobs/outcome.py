"""From the facts of an ended attempt to why the job ended, in words."""

import signal
from datetime import datetime

from asgard_async.execution.protocol import End, Ended, Stop
from asgard_async.jobs.failure import is_memory_error, last_exception_line
from asgard_async.jobs.hints import hint_for
from asgard_async.jobs.record import Job, Outcome
from asgard_async.jobs.status import Reason

INFERRED_FROM_MEMORY_ERROR = (
    "Inferred from the final MemoryError: the limit is kept by RLIMIT_AS, which does not report."
)
NO_SHIM = (
    "the process that was to supervise it ended at once. The machine may be short of processes,"
    " memory or disk, and shim.log of this attempt tells more; retry the job when that is mended"
)


def outcome_of(
    ended: Ended, job: Job, *, log_tail: str, memory_limit_bytes: int, at: datetime
) -> Outcome:
    """Why an attempt of `job` ended. `log_tail` is the last output; `at` stands in for an
    unknown end."""
    exception = last_exception_line(log_tail)
    reason, detail = _reason(ended, job, exception, memory_limit_bytes)
    return Outcome(
        reason=reason,
        exit_code=ended.exit_code,
        signal=_signal_name(ended.signal),
        error=_error(reason, ended, job, exception, log_tail, memory_limit_bytes),
        detail=detail,
        ended_at=ended.ended_at or at,
        peak_memory_bytes=ended.peak_memory_bytes,
        cpu_seconds=ended.cpu_seconds,
    )


def _reason(
    ended: Ended, job: Job, exception: str | None, memory_limit_bytes: int
) -> tuple[Reason, str | None]:
    cancelled = job.cancel_requested_at is not None
    if ended.end is End.LOST:
        return Reason.LOST, None
    if ended.end in {End.START_FAILED, End.NOT_STARTED}:
        return Reason.CANCELLED if cancelled else Reason.START_FAILED, None
    if ended.stop is Stop.TIMEOUT:
        return Reason.TIMEOUT, _killed(ended)
    if ended.stop is Stop.REQUESTED and cancelled:
        return Reason.CANCELLED, _killed(ended)
    if ended.exit_code == 0:
        return Reason.SUCCEEDED, None
    if memory_limit_bytes and exception is not None and is_memory_error(exception):
        return Reason.OUT_OF_MEMORY, INFERRED_FROM_MEMORY_ERROR
    if ended.stop is Stop.REQUESTED:
        return Reason.SIGNAL, "The shim was told to stop, but not by Asgard."
    return (Reason.SIGNAL if ended.signal is not None else Reason.EXIT_CODE), None


def _killed(ended: Ended) -> str | None:
    return "It did not end on SIGTERM and was killed." if ended.killed else None


def _error(
    reason: Reason,
    ended: Ended,
    job: Job,
    exception: str | None,
    log_tail: str,
    memory_limit_bytes: int,
) -> str | None:
    match reason:
        case Reason.SUCCEEDED:
            return None
        case Reason.TIMEOUT:
            return f"The script ran longer than its timeout of {job.spec.timeout} s."
        case Reason.CANCELLED:
            return "The job was cancelled."
        case Reason.LOST:
            return (
                "The job's processes vanished without telling how they ended: the machine or the"
                " container restarted, or they were killed from outside. Submit it again if that"
                " is safe."
            )
        case Reason.START_FAILED:
            return f"The script could not be started: {ended.error or NO_SHIM}."
        case Reason.OUT_OF_MEMORY:
            limit = memory_limit_bytes // (1 << 20)
            told = f"The script needed more than the {limit} MiB of memory that a job may use"
        case Reason.SIGNAL:
            told = f"The script was ended by {_signal_name(ended.signal) or 'a request to stop'}"
        case _:
            told = f"The script exited with code {ended.exit_code}"
    if exception is None:
        return _with_hint(f"{told}.", log_tail, None)
    return f"{_with_hint(f'{told}.', log_tail, exception)}\n{exception}"


def _with_hint(told: str, log_tail: str, exception: str | None) -> str:
    hint = hint_for(log_tail, exception)
    return f"{told} Hint: {hint}" if hint else told


def _signal_name(number: int | None) -> str | None:
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal has no name
