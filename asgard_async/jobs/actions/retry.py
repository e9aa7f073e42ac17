"""Retrying a job: its specification runs again as a new job."""

from collections.abc import Sequence

from asgard_async.domain.job import Job
from asgard_async.domain.requester import Requester
from asgard_async.jobs.submit.submitter import Submitter
from asgard_async.store.jobs import JobStore


class Retrier:
    """Submits jobs again."""

    def __init__(self, *, store: JobStore, submitter: Submitter) -> None:
        self._store = store
        self._submitter = submitter

    async def retry(self, job_id: str, requester: Requester) -> tuple[Job, Sequence[str]]:
        """Submit the same specification and script again.

        Returns:
            The new job, and the names of the fields that were left out; see
            `Submitter.submit_again`.

        Raises:
            JobNotFound: there is no such job.
            NotYourJob: the job belongs to another owner.
            ArchiveNotKept: the job's archive was deleted.
            AsgardError: no jobs are accepted at the moment; see `Submitter.submit_again`.
        """
        job = await self._store.get(job_id)
        requester.check_changes(job)
        return await self._submitter.submit_again(job, requester)
