"""One job's way from the queue to its end, as the service follows it.

Nothing here is needed for the job to run: shim and keeper do that. Each step can be cut off at any
point by a crash or a cancellation, and is taken up again by `resume` from what is on the disk.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from asgard_async.config import Config
from asgard_async.core.timestamps import now
from asgard_async.domain.attempt import AttemptId, End, Ended
from asgard_async.domain.errors import JobNotFound
from asgard_async.domain.job import Job, Outcome
from asgard_async.domain.status import Phase, Reason
from asgard_async.domain.transitions import TransitionRefused
from asgard_async.environments.builder import BuildFailed
from asgard_async.executors.base import AttemptRequest, Executor
from asgard_async.jobs.cancellable_waits import CancellableWaits, JobCancelled
from asgard_async.jobs.environment_phase import EnvironmentPhase
from asgard_async.jobs.outcome import outcome_of
from asgard_async.jobs.start_failure import in_words, is_transient
from asgard_async.logs.reader import LogReader
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore
from asgard_async.supervisor.limits.resource_limits import ResourceLimits

logger = logging.getLogger(__name__)

LOG_TAIL_BYTES = 64 * 1024
AGAIN_SECONDS = 2.0
MAX_STARTS = 4
"""How often a job is started that a busy machine refuses to start; about 12 s in all."""


class Recording(Protocol):
    """What the lifecycle needs of the tracking side (see recorder.py)."""

    async def prepare(self, job: Job) -> dict[str, str]:
        """Make sure that the job's experiment exists, if MLflow answers; its MLflow variables."""

    def expect(self, job_id: str) -> None:
        """Hear that a job's end is about to be recorded, for the first time."""

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
        """Take a job that was just claimed (STARTING) to its end."""
        try:
            if job.phase is Phase.ENVIRONMENT:
                await self._insist(job, self._start_in_own_environment)
            else:
                await self._start(job, Path(sys.executable))
            await self._insist(job, partial(self._see_end, claimed_here=True))
        finally:
            release_slot()
        await self._insist(job, self._finish)

    async def resume(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Take a job to its end that an earlier life of the service left unfinished."""
        try:
            starts_here = job.phase is Phase.ENVIRONMENT
            if starts_here:
                await self._insist(job, self._start_in_own_environment)
            await self._insist(job, partial(self._see_end, claimed_here=starts_here))
        finally:
            release_slot()
        await self._insist(job, self._finish)

    async def _insist(self, job: Job, step: Callable[[Job], Awaitable[None]]) -> None:
        """Take a step, again and again if the disk is full or the database does not answer.

        A job that is given up here would hang until the service is started again.
        """
        while True:
            try:
                # as it stands: somebody may have cancelled it, or the last try came far
                present = await self._store.get(job.job_id)
                if present.attempt == job.attempt:  # else it was queued again: not ours any more
                    await step(present)
            except JobNotFound:
                return  # it has finished, and was deleted at once
            except Exception:
                logger.exception("job %s is looked at again in %g s", job.job_id, AGAIN_SECONDS)
            else:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    # --- start ----------------------------------------------------------------------------

    async def _start_in_own_environment(self, job: Job) -> None:
        """Take a job out of ENVIRONMENT: started, or ended if it cannot be."""
        if job.phase is not Phase.ENVIRONMENT:
            return
        try:
            async with self._environment_phase.provided(job) as environment:
                job = await self._store.move(
                    job.job_id, Phase.STARTING, at=now(), attempt=job.attempt
                )
                await self._start(job, environment.python, environment.lock)
        except JobCancelled:
            job = await self._store.get(job.job_id)
            await self._record_end(job, Ended(end=End.NOT_STARTED), claimed_here=True)
        except BuildFailed as error:
            outcome = Outcome(reason=Reason.ENVIRONMENT_FAILED, error=str(error), ended_at=now())
            await self._store.end(
                job.job_id, Phase.FINISHED, outcome, at=now(), attempt=job.attempt
            )

    async def _start(self, job: Job, python: Path, *held: Path) -> None:
        try:
            await self._launch(job, python, held)
        except JobCancelled:
            await self._executor.stop(_attempt(job))  # rules the attempt out
        except Exception as error:
            logger.exception("job %s could not be started", job.job_id)
            await self._insist(job, partial(self._see_failed_start, error=error))

    async def _see_failed_start(self, job: Job, error: Exception) -> None:
        """Put a job whose start raised `error` back into the queue, if there is hope; or end it."""
        again = is_transient(error) and job.attempt < MAX_STARTS
        if again:
            with contextlib.suppress(JobCancelled):  # a cancelled job ends below
                pause = asyncio.sleep(AGAIN_SECONDS * job.attempt)
                await self._cancellable_waits.unless_cancelled(job.job_id, pause)
        ended = await self._executor.wait(_attempt(job))
        if ended.end is End.NOT_STARTED:
            ended = replace(ended, end=End.START_FAILED, error=in_words(error))
        else:
            again = False  # it did start, after all
        job = await self._store.get(job.job_id)
        await self._record_end(job, ended, claimed_here=True, start_again=again)

    async def _launch(self, job: Job, python: Path, held: Sequence[Path]) -> None:
        await self._cancellable_waits.unless_cancelled(job.job_id, self._executor.ready())
        variables = await self._cancellable_waits.unless_cancelled(
            job.job_id, self._recording.prepare(job)
        )
        launch = AttemptRequest(
            attempt=_attempt(job),
            script_name=job.spec.entrypoint or job.spec.script_name,
            script=await self._store.script(job.job_id) if job.archive is None else b"",
            archive=self._archives.path(job.archive) if job.archive is not None else None,
            python=python,
            warm=job.spec.warm,
            imports=job.imports,
            requirements=job.spec.requirements,
            own_variables=frozenset(job.spec.environment_vars),
            held=held,
            owner=job.submitted_by,
            environment={
                **job.spec.environment_vars,
                **variables,
                "ASGARD_JOB_ID": job.job_id,
            },
            timeout=job.spec.timeout,
            grace=self._config.jobs.stop_grace_seconds,
            resource_limits=ResourceLimits.of(self._config.limits, job.spec),
        )
        await self._executor.start(launch)

    async def _note_start(self, job: Job) -> None:
        started = await self._executor.started(_attempt(job))
        if started is None:
            return
        # refused when the job was cancelled meanwhile: then it is stopping, and known as started
        with contextlib.suppress(TransitionRefused):
            await self._store.move(
                job.job_id,
                Phase.RUNNING,
                at=now(),
                attempt=job.attempt,
                started=started,
            )
        logger.info("job %s runs", job.job_id, extra={"job_id": job.job_id})

    # --- end ------------------------------------------------------------------------------

    async def _see_end(self, job: Job, *, claimed_here: bool) -> None:
        """Wait for the end of a job's attempt and make it durable."""
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
            # its files were removed, but the database remembers that it ran
            ended = replace(ended, end=End.LOST)
        if self._runs_again(job, ended, claimed_here=claimed_here, start_again=start_again):
            await self._store.move(
                job.job_id,
                Phase.QUEUED,
                at=now(),
                attempt=job.attempt,
                detail=f"attempt {job.attempt} {_in_words(ended)}",
            )
            self._requeued()
            return
        outcome = outcome_of(
            ended,
            job,
            log_tail=await self._log_tail(job),
            resource_limits=ResourceLimits.of(self._config.limits, job.spec),
            at=now(),
        )
        ran = ended.end in {End.EXITED, End.LOST}
        if ran:
            self._recording.expect(job.job_id)
        await self._store.end(
            job.job_id,
            # one that is taken for running has no other way: what it is comes to light only when
            # its program is executed
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
        except OSError as error:  # something else lies in its place, or it cannot be read
            logger.warning("the log of job %s tells nothing of its end: %s", job.job_id, error)
            return ""
        return tail.data.decode(errors="replace")

    def _runs_again(self, job: Job, ended: Ended, *, claimed_here: bool, start_again: bool) -> bool:
        if job.cancel_requested_at is not None:
            return False
        if start_again:
            return True
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


def _in_words(ended: Ended) -> str:
    if ended.error is not None:
        return f"could not be started: {ended.error}"
    return "was lost" if ended.end is End.LOST else "was never started"
