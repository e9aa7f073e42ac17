"""Facts about a failed job, gathered from its records for the hints."""

import asyncio
import signal
from collections.abc import Collection

from asgard_async.domain.attempt import AttemptId, End, Ended
from asgard_async.domain.job import Job
from asgard_async.executors.base import Executor
from asgard_async.jobs.failure import plain_text, uncaught_exception
from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.hint import hint_for


def failed_job(
    ended: Ended, job: Job, *, log_tail: str, files: Collection[str] | None
) -> FailedJob:
    """Return the facts about an attempt that may have failed."""
    exception = uncaught_exception(log_tail, ended.exit_code)
    started = ended.started or job.started
    return FailedJob(
        output=plain_text(log_tail),
        exception=exception.line if exception is not None else None,
        traceback=exception.traceback if exception is not None else "",
        exit_code=ended.exit_code,
        signal=signal_name(ended.signal),
        job_id=job.job_id,
        isolation=started.isolation if started is not None else None,
        is_archive=job.archive is not None,
        entrypoint=job.spec.entrypoint or job.spec.script_name,
        files=files,
        requirements=job.spec.requirements,
        variables=job.spec.environment_vars.keys(),
        experiment_name=job.spec.experiment_name,
    )


async def files_left_by(
    executor: Executor, ended: Ended, attempt: AttemptId
) -> Collection[str] | None:
    """Return the paths in the working directory of an attempt that failed; None if unknown."""
    if ended.end is not End.EXITED or ended.exit_code == 0:
        return None
    return await asyncio.to_thread(executor.files.paths, attempt)


def environment_error(job: Job, reason: str) -> str:
    """Return the error of a job whose environment could not be built for a reason."""
    failed = FailedJob(
        build_error=reason,
        is_archive=job.archive is not None,
        requirements=job.spec.requirements,
    )
    hint = hint_for(failed)
    return reason if hint is None else f"{reason}\nHint: {hint}"


def signal_name(number: int | None) -> str | None:
    """Return the name of a signal, such as "SIGKILL"."""
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal has no name
