"""Deleting a finished job with all its files."""

from asgard_async.domain.requester import ANYONE, Requester
from asgard_async.executors.base import Executor
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore


class Deleter:
    """Deletes jobs, row first: a crash then leaves only files without a row, which the next start
    removes."""

    def __init__(self, *, store: JobStore, archives: ArchiveStore, executor: Executor) -> None:
        self._store = store
        self._archives = archives
        self._executor = executor

    async def delete(self, job_id: str, requester: Requester = ANYONE) -> None:
        """Delete a job, its script or archive, log and directory. Its MLflow runs and models stay.

        Raises:
            JobNotFound: there is no such job.
            NotYourJob: the job belongs to another owner.
            JobNotFinished: the job has not finished.
        """
        job = await self._store.get(job_id)
        requester.check_changes(job)
        await self._store.delete(job_id)
        await self._executor.remove(job_id)
        if job.archive is not None:
            await self._archives.remove(job.archive)
