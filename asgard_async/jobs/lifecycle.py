"""One job's way from the queue to its end, as the service follows it.

Nothing here is needed for the job to run: shim and keeper do that. Each step can be cut off at any
point by a crash or a cancellation, and is taken up again by `resume` from what is on the disk.
"""

import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from asgard_async.config import Config
from asgard_async.execution.environments.builder import BuildFailed
from asgard_async.execution.protocol import AttemptId, End, Ended, Executor, Launch
from asgard_async.jobs.environment_phase import EnvironmentPhase, Interrupted
from asgard_async.jobs.outcome import outcome_of
from asgard_async.jobs.record import Job, Outcome, now
from asgard_async.jobs.status import Phase, Reason
from asgard_async.jobs.transitions import TransitionRefused
from asgard_async.logs.reader import LogReader
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore

logger = logging.getLogger(__name__)

LOG_TAIL_BYTES = 64 * 1024


class Recording(Protocol):
    """What the lifecycle needs of the tracking side (see recorder.py)."""

    async def prepare(self, job: Job) -> dict[str, str]:
        """Make sure that the job's experiment exists, if MLflow answers; its MLflow variables."""

    async def settle(self, job: Job) -> None:
        """Wait until the job's runs are known, but not longer than configured."""


class Lifecycle:
    """Follows jobs. `requeued` is called after one was put back into the queue."""

    def __init__(
        self,
        *,
        config: Config,
        store: JobStore,
        archives: ArchiveStore,
        executor: Executor,
        logs: LogReader,
        recording: Recording,
        environment_phase: EnvironmentPhase,
        requeued: Callable[[], None],
    ) -> None:
        self._config = config
        self._store = store
        self._archives = archives
        self._executor = executor
        self._logs = logs
        self._recording = recording
        self._environment_phase = environment_phase
        self._requeued = requeued

    async def run(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Take a job that was just claimed (STARTING) to its end."""
        try:
            if job.phase is Phase.ENVIRONMENT:
                job = await self._run_in_own_environment(job)
            else:
                await self._start(job, Path(sys.executable))
                ended = await self._executor.wait(_attempt(job))
                job = await self._record_end(job, ended, claimed_here=True)
        finally:
            release_slot()
        await self._finish(job)

    async def resume(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Take a job to its end that an earlier life of the service left unfinished."""
        try:
            if job.phase is Phase.ENVIRONMENT:
                job = await self._run_in_own_environment(job)
            elif job.phase is not Phase.RECORDING:
                if job.phase is Phase.STOPPING:
                    await self._executor.stop(_attempt(job))
                elif job.phase is Phase.STARTING:
                    await self._note_start(job)
                ended = await self._executor.wait(_attempt(job))
                job = await self._record_end(job, ended, claimed_here=False)
        finally:
            release_slot()
        await self._finish(job)

    # --- start ----------------------------------------------------------------------------

    async def _run_in_own_environment(self, job: Job) -> Job:
        """Take a job from ENVIRONMENT to the end of its attempt."""
        try:
            async with self._environment_phase.provided(job) as environment:
                job = await self._store.move(
                    job.job_id, Phase.STARTING, at=now(), attempt=job.attempt
                )
                if job.cancel_requested_at is not None:
                    await self._executor.stop(_attempt(job))  # then the start comes too late
                await self._start(job, environment.python, environment.lock)
                ended = await self._executor.wait(_attempt(job))
        except Interrupted:
            ended = Ended(end=End.NOT_STARTED)
        except BuildFailed as error:
            outcome = Outcome(reason=Reason.ENVIRONMENT_FAILED, error=str(error), ended_at=now())
            return await self._store.end(
                job.job_id, Phase.FINISHED, outcome, at=now(), attempt=job.attempt
            )
        return await self._record_end(job, ended, claimed_here=True)

    async def _start(self, job: Job, python: Path, *held: Path) -> None:
        variables = await self._recording.prepare(job)
        limits = self._config.limits
        launch = Launch(
            attempt=_attempt(job),
            script_name=job.spec.entrypoint or job.spec.script_name,
            script=await self._store.script(job.job_id) if job.archive is None else b"",
            archive=self._archives.path(job.archive) if job.archive is not None else None,
            python=python,
            held=held,
            environment={
                **job.spec.environment_vars,
                **variables,
                "ASGARD_JOB_ID": job.job_id,
            },
            timeout=job.spec.timeout,
            grace=self._config.jobs.stop_grace_seconds,
            memory_limit_bytes=limits.memory_mb << 20,
        )
        try:
            await self._executor.start(launch)
        except OSError as error:
            # `wait` rules the attempt out, and the job fails with this in the service's log
            logger.exception("job %s could not be started: %s", job.job_id, error.strerror)
        await self._note_start(job)

    async def _note_start(self, job: Job) -> None:
        started_at = await self._executor.started_at(_attempt(job))
        if started_at is None:
            return
        # refused when the job was cancelled meanwhile: then it is stopping, and known as started
        with contextlib.suppress(TransitionRefused):
            await self._store.move(
                job.job_id,
                Phase.RUNNING,
                at=now(),
                attempt=job.attempt,
                started_at=started_at,
            )
        logger.info("job %s runs", job.job_id, extra={"job_id": job.job_id})

    # --- end ------------------------------------------------------------------------------

    async def _record_end(self, job: Job, ended: Ended, *, claimed_here: bool) -> Job:
        """Make the end of an attempt durable; the job, in RECORDING, FINISHED or QUEUED."""
        job = await self._store.get(job.job_id)
        if self._runs_again(job, ended, claimed_here=claimed_here):
            job = await self._store.move(
                job.job_id,
                Phase.QUEUED,
                at=now(),
                attempt=job.attempt,
                detail=f"attempt {job.attempt} was {_in_words(ended.end)}",
            )
            self._requeued()
            return job
        tail = await self._logs.tail_bytes(job.job_id, LOG_TAIL_BYTES)
        outcome = outcome_of(
            ended,
            job,
            log_tail=tail.data.decode(errors="replace"),
            memory_limit_bytes=self._config.limits.memory_mb << 20,
            at=now(),
        )
        ran = ended.end in {End.EXITED, End.LOST}
        job = await self._store.end(
            job.job_id,
            Phase.RECORDING if ran else Phase.FINISHED,
            outcome,
            at=now(),
            attempt=job.attempt,
            started_at=ended.started_at,
            tracking_pending=ran,
        )
        logger.info("job %s ended: %s", job.job_id, outcome.reason, extra={"job_id": job.job_id})
        return job

    def _runs_again(self, job: Job, ended: Ended, *, claimed_here: bool) -> bool:
        if job.cancel_requested_at is not None:
            return False
        if ended.end is End.NOT_STARTED:
            return not claimed_here  # the service died between claim and start
        return ended.end is End.LOST and self._config.jobs.requeue_lost

    async def _finish(self, job: Job) -> None:
        if job.phase is not Phase.RECORDING:
            return
        await self._recording.settle(job)
        await self._store.finish(job.job_id, at=now())


def _attempt(job: Job) -> AttemptId:
    return AttemptId(job_id=job.job_id, number=job.attempt)


def _in_words(end: End) -> str:
    return "lost" if end is End.LOST else "never started"
