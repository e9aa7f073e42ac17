"""Running a job's specification once more, as a new job."""

from asgard_async.domain.job import Job
from asgard_async.jobs.submit.submitter import Submitter
from asgard_async.store.jobs import JobStore


class Retrier:
    """Makes new jobs of old ones."""

    def __init__(self, *, store: JobStore, submitter: Submitter) -> None:
        self._store = store
        self._submitter = submitter

    async def retry(self, job_id: str, owner: str) -> Job:
        """Submit the same specification and script again.

        Raises:
            JobNotFound, QueueFull, ServiceDraining: see there.
        """
        return await self._submitter.submit_again(await self._store.get(job_id), owner)
