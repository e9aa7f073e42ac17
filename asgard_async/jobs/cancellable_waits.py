"""Waits of a job that its cancellation cuts short."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from asgard_async.store.jobs import JobStore

T = TypeVar("T")


class JobCancelled(Exception):
    """The job was cancelled while it waited."""


class CancellableWaits:
    """Runs the work that a job waits for before it starts; one wait per job at a time."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._waits: dict[str, asyncio.Task[Any]] = {}

    def interrupt(self, job_id: str) -> None:
        """Cut a job's wait short, if it waits: the job was cancelled."""
        if (wait := self._waits.get(job_id)) is not None:
            wait.cancel()

    async def unless_cancelled(self, job_id: str, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, which runs in a task of its own.

        Raises:
            JobCancelled: the job is cancelled meanwhile, or was cancelled before.
        """
        wait = asyncio.create_task(work, name=f"wait of job {job_id}")
        self._waits[job_id] = wait
        try:
            # read once an interrupt would arrive: none is missed in between
            if (await self._store.get(job_id)).cancel_requested_at is not None:
                wait.cancel()
            return await wait
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the service is stopping
            raise JobCancelled from None
        finally:
            wait.cancel()  # still running if the service stops or the database does not answer
            del self._waits[job_id]
