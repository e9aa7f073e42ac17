"""Waits that the cancellation of their job cuts short."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from asgard_async.store.jobs import JobStore

T = TypeVar("T")


class JobCancelled(Exception):
    """The job was cancelled meanwhile."""


class CancellableWaits:
    """Runs what a job waits for before it is started; one wait per job at a time."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._waits: dict[str, asyncio.Task[Any]] = {}

    def interrupt(self, job_id: str) -> None:
        """The job was cancelled: what it waits for is not needed any longer."""
        if (wait := self._waits.get(job_id)) is not None:
            wait.cancel()

    async def unless_cancelled(self, job_id: str, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`.

        Raises:
            Interrupted: the job is cancelled, now or already.
        """
        wait = asyncio.create_task(work, name=f"wait of job {job_id}")
        self._waits[job_id] = wait
        try:
            # asked when an interrupt would arrive: none is missed in between
            if (await self._store.get(job_id)).cancel_requested_at is not None:
                wait.cancel()
            return await wait
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the service stops
            raise JobCancelled from None
        finally:
            wait.cancel()  # if it was left: the service stops, or the database does not answer
            del self._waits[job_id]
