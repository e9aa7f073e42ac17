"""Retrying a job: its specification runs again as a new job."""

from asgard_async.domain.job import Job
from asgard_async.jobs.submit.submitter import Submitter
from asgard_async.store.jobs import JobStore


class Retrier:
    """Submits jobs again."""

    def __init__(self, *, store: JobStore, submitter: Submitter) -> None:
        self._store = store
        self._submitter = submitter

    async def retry(self, job_id: str, owner: str) -> Job:
        """Submit the same specification and script again.

        Raises:
            JobNotFound: there is no such job.
            ArchiveNotKept: the job's archive was deleted.
            AsgardError: no jobs are accepted at the moment; see `Submitter.submit_again`.
        """
        return await self._submitter.submit_again(await self._store.get(job_id), owner)
