"""Waits that end early when their job is cancelled."""

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
        """End the current wait of a cancelled job early, if there is one."""
        if (wait := self._waits.get(job_id)) is not None:
            wait.cancel()

    async def unless_cancelled(self, job_id: str, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, which runs in a separate task.

        Raises:
            JobCancelled: the job was cancelled before or during the wait.
        """
        wait = asyncio.create_task(work, name=f"wait of job {job_id}")
        self._waits[job_id] = wait
        try:
            # read after registering the wait, so that no cancellation is missed in between
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
