"""Cancelling a job in any phase."""

from asgard_async.core.timestamps import now
from asgard_async.domain.attempt import AttemptId
from asgard_async.domain.job import Job
from asgard_async.domain.requester import ANYONE, Requester
from asgard_async.domain.status import Phase
from asgard_async.executors.base import Executor
from asgard_async.jobs.cancellable_waits import CancellableWaits
from asgard_async.store.jobs import JobStore


class Canceller:
    """Cancels jobs; the request is durable before anything is stopped."""

    def __init__(
        self, *, store: JobStore, executor: Executor, cancellable_waits: CancellableWaits
    ) -> None:
        self._store = store
        self._executor = executor
        self._cancellable_waits = cancellable_waits

    async def cancel(self, job_id: str, requester: Requester = ANYONE) -> Job:
        """Cancel a job and return it; a job that has ended stays as it is.

        Raises:
            JobNotFound: there is no such job.
            NotYourJob: the job belongs to another owner.
        """
        if not requester.changes_others:
            requester.check_changes(await self._store.get(job_id))
        job = await self._store.request_cancel(job_id, at=now())
        self._cancellable_waits.interrupt(job_id)
        if job.phase is Phase.STOPPING:
            await self._executor.stop(AttemptId(job_id=job_id, number=job.attempt))
        return job
