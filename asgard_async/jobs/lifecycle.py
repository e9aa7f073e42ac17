"""The lifecycle of a job in the service, from the queue to its end.

A running job does not depend on anything here: the executor keeps it running. A crash or a
cancellation may cut off each step at any point; `resume` continues from the durable state.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from asgard_async.config import JobsConfig
from asgard_async.core.backoff import Backoff
from asgard_async.core.timestamps import now
from asgard_async.domain.attempt import AttemptId, End, Ended
from asgard_async.domain.errors import JobNotFound
from asgard_async.domain.job import Job, Outcome
from asgard_async.domain.status import Phase, Reason
from asgard_async.domain.transitions import TransitionRefused
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.executors.base import AttemptRequest, EnvironmentFailed, Executor
from asgard_async.jobs.cancellable_waits import CancellableWaits, JobCancelled
from asgard_async.jobs.diagnosis import environment_error, files_left_by
from asgard_async.jobs.environment_phase import EnvironmentPhase
from asgard_async.jobs.outcome import outcome_of
from asgard_async.jobs.start_failure import describe, is_transient
from asgard_async.logs.reader import LogReader
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore

logger = logging.getLogger(__name__)

LOG_TAIL_BYTES = 64 * 1024
RETRY_SECONDS = 2.0
"""Pause before a failed start is tried again, times the number of tries."""
RETRIES = Backoff(first_seconds=2.0, longest_seconds=30.0)
"""Pauses before a failed step is tried again."""
MAX_STARTS = 4
"""Attempts to start a job on a machine that ran out of a resource; about 12 s in total."""


class Recording(Protocol):
    """The recording of MLflow runs, as the lifecycle needs it; see recorder.py."""

    async def prepare(self, job: Job) -> dict[str, str]:
        """Create the job's experiment if MLflow answers; return the job's MLflow variables."""

    def expect(self, job_id: str) -> None:
        """Note that a job's end is about to be recorded for the first time."""

    async def settle(self, job: Job) -> None:
        """Wait until the job's runs are known, at most for the configured time."""


class Lifecycle:
    """Takes jobs to their end. `requeued` is called after a job was put back into the queue."""

    def __init__(
        self,
        *,
        config: JobsConfig,
        store: JobStore,
        archives: ArchiveStore,
        executor: Executor,
        logs: LogReader,
        recording: Recording,
        environment_phase: EnvironmentPhase,
        cancellable_waits: CancellableWaits,
        requeued: Callable[[], None],
    ) -> None:
        self._config = config
        self._store = store
        self._archives = archives
        self._executor = executor
        self._logs = logs
        self._recording = recording
        self._environment_phase = environment_phase
        self._cancellable_waits = cancellable_waits
        self._requeued = requeued

    async def run(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Run a newly claimed job to its end."""
        try:
            if job.phase is Phase.ENVIRONMENT:
                await self._insist(job, self._start_in_own_environment)
            else:
                await self._start(job, None)
            await self._insist(job, partial(self._await_end, claimed_here=True))
        finally:
            release_slot()
        await self._insist(job, self._finish)

    async def resume(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Run a job that an earlier service process left unfinished to its end."""
        try:
            starts_here = job.phase is Phase.ENVIRONMENT
            if starts_here:
                await self._insist(job, self._start_in_own_environment)
            await self._insist(job, partial(self._await_end, claimed_here=starts_here))
        finally:
            release_slot()
        await self._insist(job, self._finish)

    async def _insist(self, job: Job, step: Callable[[Job], Awaitable[None]]) -> None:
        """Take a step; retry while the disk is full or the database does not answer.

        Without retries, the job would hang until the service restarts.
        """
        pause: float | None = None
        while True:
            try:
                # read again: the job may have been cancelled, or moved by the previous try
                current = await self._store.get(job.job_id)
                if current.attempt == job.attempt:  # else it was requeued and claimed again
                    await step(current)
            except JobNotFound:
                return  # the job has finished and was deleted
            except Exception as error:
                if isinstance(error, TransitionRefused) and error.source is not current.phase:
                    continue  # the job has moved meanwhile, as by a cancellation
                pause = RETRIES.next_pause(pause, 0)
                logger.exception("step of job %s failed; retrying in %g s", job.job_id, pause)
            else:
                return
            await asyncio.sleep(pause)

    # --- start ----------------------------------------------------------------------------

    async def _start_in_own_environment(self, job: Job) -> None:
        """Take a job out of ENVIRONMENT: start it, or end it if that is impossible."""
        if job.phase is not Phase.ENVIRONMENT:
            return
        try:
            async with self._environment_phase.provided(job) as environment:
                job = await self._store.move(
                    job.job_id, Phase.STARTING, at=now(), attempt=job.attempt
                )
                await self._start(job, environment)
        except JobCancelled:
            job = await self._store.get(job.job_id)
            await self._record_end(job, Ended(end=End.NOT_STARTED), claimed_here=True)
        except EnvironmentFailed as error:
            text = environment_error(job, str(error))
            outcome = Outcome(reason=Reason.ENVIRONMENT_FAILED, error=text, ended_at=now())
            await self._store.end(
                job.job_id, Phase.FINISHED, outcome, at=now(), attempt=job.attempt
            )

    async def _start(self, job: Job, environment: EnvironmentSpec | None) -> None:
        try:
            await self._request_start(job, environment)
        except JobCancelled:
            await self._executor.stop(_attempt(job))  # the attempt can no longer start
        except Exception as error:
            logger.exception("job %s could not be started", job.job_id)
            await self._insist(job, partial(self._handle_failed_start, error=error))

    async def _handle_failed_start(self, job: Job, error: Exception) -> None:
        """Requeue a job whose start raised `error` if a retry may succeed; otherwise end it."""
        again = is_transient(error) and job.attempt < MAX_STARTS
        if again:
            with contextlib.suppress(JobCancelled):  # a cancelled job ends below
                pause = asyncio.sleep(RETRY_SECONDS * job.attempt)
                await self._cancellable_waits.unless_cancelled(job.job_id, pause)
        ended = await self._executor.wait(_attempt(job))
        if ended.end is End.NOT_STARTED:
            ended = replace(ended, end=End.START_FAILED, error=describe(error))
        else:
            again = False  # the attempt did start
        job = await self._store.get(job.job_id)
        await self._record_end(job, ended, claimed_here=True, start_again=again)

    async def _request_start(self, job: Job, environment: EnvironmentSpec | None) -> None:
        await self._cancellable_waits.unless_cancelled(job.job_id, self._executor.ready())
        variables = await self._cancellable_waits.unless_cancelled(
            job.job_id, self._recording.prepare(job)
        )
        request = AttemptRequest(
            attempt=_attempt(job),
            script_name=job.spec.entrypoint or job.spec.script_name,
            is_notebook=job.spec.is_notebook,
            arguments=job.spec.arguments,
            script=await self._store.script(job.job_id) if job.archive is None else b"",
            archive=self._archives.path(job.archive) if job.archive is not None else None,
            environment=environment,
            requirements=job.spec.requirements,
            imports=job.imports,
            warm=job.spec.warm,
            variables={
                **job.spec.environment_vars,
                **variables,
                "ASGARD_JOB_ID": job.job_id,
                **_params_variable(job),
            },
            own_variables=frozenset(job.spec.environment_vars),
            owner=job.submitted_by,
            resources=job.spec.resources,
            timeout=job.spec.timeout,
            grace=self._config.stop_grace_seconds,
        )
        await self._executor.start(request)

    async def _note_start(self, job: Job) -> None:
        started = await self._executor.started(_attempt(job))
        if started is None:
            return
        # refused if the job was cancelled meanwhile: it is then stopping, and known to have started
        with contextlib.suppress(TransitionRefused):
            await self._store.move(
                job.job_id,
                Phase.RUNNING,
                at=now(),
                attempt=job.attempt,
                started=started,
            )
        logger.info("job %s is running", job.job_id, extra={"job_id": job.job_id})

    # --- end ------------------------------------------------------------------------------

    async def _await_end(self, job: Job, *, claimed_here: bool) -> None:
        """Wait for the end of a job's attempt and record it."""
        if job.phase in {Phase.QUEUED, Phase.RECORDING, Phase.FINISHED}:
            return
        if job.phase is Phase.STOPPING:
            await self._executor.stop(_attempt(job))
        elif job.phase is Phase.STARTING:
            await self._note_start(job)
        ended = await self._executor.wait(_attempt(job))
        await self._record_end(await self._store.get(job.job_id), ended, claimed_here=claimed_here)

    async def _record_end(
        self, job: Job, ended: Ended, *, claimed_here: bool, start_again: bool = False
    ) -> None:
        """Move a job whose attempt has ended into RECORDING or FINISHED, or back to QUEUED."""
        if ended.end is End.NOT_STARTED and job.started_at is not None:
            # the attempt's files were removed, but according to the database it ran
            ended = replace(ended, end=End.LOST, error=None)
        if ended.stopped_by_shutdown and job.cancel_requested_at is None:
            # even a job that exited with 0 has not done what it was to do
            ended = replace(ended, end=End.LOST, exit_code=None, signal=None)
        if self._runs_again(job, ended, claimed_here=claimed_here, start_again=start_again):
            await self._store.move(
                job.job_id,
                Phase.QUEUED,
                at=now(),
                attempt=job.attempt,
                detail=f"attempt {job.attempt} {_describe_end(ended)}",
            )
            self._requeued()
            return
        outcome = outcome_of(
            ended,
            job,
            log_tail=await self._log_tail(job),
            files=await files_left_by(self._executor, ended, _attempt(job)),
            resource_limits=self._executor.limits(job.spec.resources),
            timeout_max=self._config.timeout_max,
            at=now(),
        )
        ran = ended.end in {End.EXITED, End.LOST}
        if ran:
            self._recording.expect(job.job_id)
        await self._store.end(
            job.job_id,
            # RUNNING cannot move directly to FINISHED, but a program that counts as running may
            # still fail to execute
            Phase.RECORDING if ran or job.phase is Phase.RUNNING else Phase.FINISHED,
            outcome,
            at=now(),
            attempt=job.attempt,
            started=ended.started,
            tracking_pending=ran,
        )
        logger.info("job %s ended: %s", job.job_id, outcome.reason, extra={"job_id": job.job_id})

    async def _log_tail(self, job: Job) -> str:
        try:
            tail = await self._logs.tail_bytes(job.job_id, LOG_TAIL_BYTES)
        except OSError as error:  # not readable, or not a regular file
            logger.warning("the log of job %s cannot be read for its end: %s", job.job_id, error)
            return ""
        return tail.data.decode(errors="replace")

    def _runs_again(self, job: Job, ended: Ended, *, claimed_here: bool, start_again: bool) -> bool:
        if job.cancel_requested_at is not None:
            return False
        if start_again:
            return True
        if ended.end is End.NOT_STARTED:
            return not claimed_here  # the service crashed between claim and start
        return ended.end is End.LOST and self._config.requeue_lost

    async def _finish(self, job: Job) -> None:
        if job.phase is not Phase.RECORDING:
            return
        await self._recording.settle(job)
        await self._store.finish(job.job_id, at=now())


def _attempt(job: Job) -> AttemptId:
    return AttemptId(job_id=job.job_id, number=job.attempt)


def _describe_end(ended: Ended) -> str:
    match ended.end:
        case End.LOST:
            return "was lost"
        case End.NOT_STARTED:
            return "was never started"
        case _:
            return f"could not be started: {ended.error}"


def _params_variable(job: Job) -> dict[str, str]:
    return {"ASGARD_PARAMS": json.dumps(dict(job.spec.params))} if job.spec.params else {}
