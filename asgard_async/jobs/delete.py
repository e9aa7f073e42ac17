"""Deleting a finished job with all its files."""

from asgard_async.execution.protocol import Executor
from asgard_async.store.jobs import JobStore


class Deleter:
    """Forgets jobs: the row first, so that a crash leaves files without a row, swept at start."""

    def __init__(self, *, store: JobStore, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    async def delete(self, job_id: str) -> None:
        """Delete a job, its script, log and directory. Its MLflow runs and models stay.

        Raises:
            JobNotFound: there is no such job.
            JobNotFinished: it has not ended.
        """
        await self._store.delete(job_id)
        await self._executor.remove(job_id)
