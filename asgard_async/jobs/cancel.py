"""Cancelling a job, wherever on its way it is."""

from asgard_async.execution.protocol import AttemptId, Executor
from asgard_async.jobs.environment_phase import EnvironmentPhase
from asgard_async.jobs.record import Job, now
from asgard_async.jobs.status import Phase
from asgard_async.store.jobs import JobStore


class Canceller:
    """Cancels jobs; the wish is durable before anything is stopped."""

    def __init__(
        self, *, store: JobStore, executor: Executor, environment_phase: EnvironmentPhase
    ) -> None:
        self._store = store
        self._executor = executor
        self._environment_phase = environment_phase

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job and return it; one that has ended stays as it is.

        Raises:
            JobNotFound: there is no such job.
        """
        job = await self._store.request_cancel(job_id, at=now())
        if job.phase is Phase.ENVIRONMENT:
            self._environment_phase.interrupt(job_id)
        elif job.phase is Phase.STOPPING:
            await self._executor.stop(AttemptId(job_id=job_id, number=job.attempt))
        return job
