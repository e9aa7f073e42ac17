"""From the queue to the executor: as many jobs as there are slots, woken by events."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from asgard_async.core.tasks import BackgroundTasks
from asgard_async.core.timestamps import now
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase
from asgard_async.store.jobs import JobStore

logger = logging.getLogger(__name__)


class JobRunner(Protocol):
    """Takes jobs to their end; see `jobs.lifecycle.Lifecycle`."""

    async def run(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Take a job that was just claimed to its end."""

    async def resume(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Take a job to its end that an earlier service left unfinished."""


class Dispatcher:
    """Starts queued jobs, highest priority first, then the oldest, once `ready` has returned.

    Until then they stay in the queue, where one that waits to be started would hold a slot.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        lifecycle: JobRunner,
        first_phase: Callable[[JobSpec], Phase],
        ready: Callable[[], Awaitable[None]],
        background: BackgroundTasks,
        slots: int,
    ) -> None:
        self._store = store
        self._first_phase = first_phase
        self._ready = ready
        self._lifecycle = lifecycle
        self._background = background
        self._slots = asyncio.Semaphore(slots)
        self._work = asyncio.Event()

    def wake(self) -> None:
        """Look at the queue: something was put into it."""
        self._work.set()

    async def recover(self) -> int:
        """Take up the jobs that an earlier life of the service left unfinished; how many.

        To be called before `run`, so that they have their slots before new ones start.
        """
        jobs = await self._store.unfinished()
        for job in jobs:
            await self._resume(job)
        return len(jobs)

    async def _resume(self, job: Job) -> None:
        # with fewer slots than before, a running job goes on without one
        holds_slot = job.phase is not Phase.RECORDING and not self._slots.locked()
        if holds_slot:
            await self._slots.acquire()
        release = self._slots.release if holds_slot else _nothing
        self._background.start(f"job {job.job_id}", self._lifecycle.resume(job, release))

    async def run(self) -> None:
        """Start jobs for as long as the service takes any."""
        await self._ready()
        while True:
            await self._slots.acquire()
            try:
                job = await self._next()
            except BaseException:
                self._slots.release()
                raise
            self._background.start(
                f"job {job.job_id}", self._lifecycle.run(job, self._slots.release)
            )

    async def _next(self) -> Job:
        while True:
            self._work.clear()  # before looking: what comes meanwhile sets it again
            job = await self._store.claim_next(now(), self._first_phase)
            if job is not None:
                return job
            await self._work.wait()


def _nothing() -> None:
    pass
