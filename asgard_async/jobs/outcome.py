"""The outcome of a job, derived from the facts of its last attempt."""

import re
from collections.abc import Collection
from datetime import datetime

from asgard_async.domain.attempt import End, Ended, Stop
from asgard_async.domain.job import Job, Outcome
from asgard_async.domain.status import Reason
from asgard_async.jobs.diagnosis import failed_job, signal_name
from asgard_async.jobs.failure import is_memory_error
from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.hint import hint_for
from asgard_async.jobs.hints.machine import OUT_OF_MEMORY
from asgard_async.supervisor.limits.resource_limits import ResourceLimits

CELL = re.compile(r'^  File "[^"\n]{1,400}, cell (\d{1,6})", line (\d{1,6})', re.MULTILINE)
"""The frame of a notebook's cell, as the program that runs notebooks prints it."""
INFERRED_FROM_MEMORY_ERROR = "Inferred from the final MemoryError."
OVER_THE_DISK_LIMIT = "It was killed because it exceeded its disk limit."
UNKNOWN_CAUSE = "the cause is not known"


def outcome_of(
    ended: Ended,
    job: Job,
    *,
    log_tail: str,
    files: Collection[str] | None = None,
    resource_limits: ResourceLimits,
    timeout_max: int,
    at: datetime,
) -> Outcome:
    """Return the outcome of an attempt of `job` that ran within `resource_limits`.

    `log_tail` is the end of its output, and `files` are those in its working directory, if known;
    `timeout_max` is the longest timeout that the service allows; `at` replaces an unknown end time.
    """
    failed = failed_job(ended, job, log_tail=log_tail, files=files)
    reason, detail = _reason(ended, job, failed.exception, resource_limits)
    return Outcome(
        reason=reason,
        exit_code=ended.exit_code,
        signal=signal_name(ended.signal),
        error=_timed_out(job, timeout_max)
        if reason is Reason.TIMEOUT
        else _error(reason, ended, job, failed, resource_limits),
        detail=detail,
        ended_at=ended.ended_at or at,
        peak_memory_bytes=ended.peak_memory_bytes,
        cpu_seconds=ended.cpu_seconds,
    )


def _reason(
    ended: Ended, job: Job, exception: str | None, resource_limits: ResourceLimits
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
    if ended.stop is Stop.DISK:
        return Reason.SIGNAL, OVER_THE_DISK_LIMIT
    if ended.oom_kills:
        return Reason.OUT_OF_MEMORY, _oom_kills(ended)
    if resource_limits.memory_bytes and exception is not None and is_memory_error(exception):
        return Reason.OUT_OF_MEMORY, INFERRED_FROM_MEMORY_ERROR
    if ended.stop is Stop.REQUESTED:
        return Reason.SIGNAL, "It was stopped by a signal to its supervisor, not by Asgard."
    return (Reason.SIGNAL if ended.signal is not None else Reason.EXIT_CODE), None


def _killed(ended: Ended) -> str | None:
    return "It did not exit on SIGTERM and was killed." if ended.killed else None


def _error(
    reason: Reason,
    ended: Ended,
    job: Job,
    failed: FailedJob,
    resource_limits: ResourceLimits,
) -> str | None:
    exception = failed.exception
    match reason:
        case Reason.SUCCEEDED:
            return None
        case Reason.CANCELLED:
            return "The job was cancelled."
        case Reason.LOST:
            return (
                "The job's processes vanished without a result: the machine or the container"
                " restarted, or they were killed from outside. Submit the job again if it is safe"
                " to run twice."
            )
        case Reason.START_FAILED:
            return f"The script could not be started: {ended.error or UNKNOWN_CAUSE}."
        case Reason.OUT_OF_MEMORY:
            cause = f"{_out_of_memory(ended, resource_limits)}. Hint: {OUT_OF_MEMORY}"
            return cause if exception is None else f"{cause}\n{exception}"
        case Reason.SIGNAL if ended.stop is Stop.DISK:
            limit_mb = resource_limits.directory_bytes >> 20
            return (
                f"The script was killed because its files exceeded the limit of {limit_mb} MiB."
                " Write less, or delete files that are no longer needed; the administrator can"
                " raise the limit ([limits] job_dir_mb)."
            )
        case Reason.SIGNAL:
            cause = f"The script was ended by {signal_name(ended.signal) or 'a request to stop'}."
        case _:
            cause = _exit(ended, job, failed)
    if hint := hint_for(failed):
        cause = f"{cause} Hint: {hint}"
    return cause if exception is None else f"{cause}\n{exception}"


def _timed_out(job: Job, timeout_max: int) -> str:
    cause = f"The script exceeded its timeout of {job.spec.timeout} s."
    if job.spec.timeout >= timeout_max:
        return (
            f"{cause} Hint: longer ones are not allowed here; the administrator can change that"
            " ([jobs] timeout_max)."
        )
    return (
        f"{cause} Hint: run it again with a longer one, up to {timeout_max} s here: `timeout` of an"
        f" upload, or asgard retry {job.job_id} --timeout {min(2 * job.spec.timeout, timeout_max)}."
    )


def _exit(ended: Ended, job: Job, failed: FailedJob) -> str:
    if job.spec.is_notebook and (places := CELL.findall(failed.traceback)):
        cell, line = places[0]
        return f"The notebook failed in cell {cell}, line {line}, with code {ended.exit_code}."
    return f"The script exited with code {ended.exit_code}."


def _oom_kills(ended: Ended) -> str:
    return f"The kernel killed {ended.oom_kills} of its processes: out of memory."


def _out_of_memory(ended: Ended, resource_limits: ResourceLimits) -> str:
    """Describe the exceeded limit; the hint adds the advice."""
    limit = resource_limits.memory_bytes >> 20
    if limit and (ended.reached_memory_limit or not ended.oom_kills):
        return f"The script exceeded its memory limit of {limit} MiB"
    return (
        "The running jobs together exceeded the memory available to them, and this one was killed."
        " Run fewer jobs at once, or set a limit for each"
    )
