"""The dispatcher moves jobs from the queue to the executor as admission allows, woken by events."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from asgard_async.core.tasks import BackgroundTasks
from asgard_async.core.timestamps import now
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase
from asgard_async.scheduling.admission import Admission
from asgard_async.store.jobs import JobStore

logger = logging.getLogger(__name__)


class JobRunner(Protocol):
    """Takes jobs to their end; see `jobs.lifecycle.Lifecycle`."""

    async def run(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Take a job that was just claimed to its end."""

    async def resume(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Take a job to its end that an earlier service process left unfinished."""


class Dispatcher:
    """Starts queued jobs, highest priority first, then the oldest, once `ready` has returned.

    Until then jobs stay in the queue: a job that waits to be started would occupy a slot.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        lifecycle: JobRunner,
        first_phase: Callable[[JobSpec], Phase],
        ready: Callable[[], Awaitable[None]],
        background: BackgroundTasks,
        admission: Admission,
    ) -> None:
        self._store = store
        self._first_phase = first_phase
        self._ready = ready
        self._lifecycle = lifecycle
        self._background = background
        self._admission = admission
        self._work = asyncio.Event()

    def wake(self) -> None:
        """Look at the queue: a job was added."""
        self._work.set()

    async def recover(self) -> int:
        """Resume the jobs that an earlier service process left unfinished; return their number.

        Call it before `run`, so that these jobs have their slots before new ones start.
        """
        jobs = await self._store.unfinished()
        for job in jobs:
            self._resume(job)
        return len(jobs)

    def _resume(self, job: Job) -> None:
        # a job in RECORDING runs no longer
        release = _nothing if job.phase is Phase.RECORDING else self._admission.adopt(job).release
        self._background.start(f"job {job.job_id}", self._lifecycle.resume(job, release))

    async def run(self) -> None:
        """Start jobs for as long as the service accepts them."""
        await self._ready()
        while True:
            slot = await self._admission.acquire()
            try:
                job = await self._next()
            except BaseException:
                slot.release()
                raise
            self._background.start(f"job {job.job_id}", self._lifecycle.run(job, slot.release))

    async def _next(self) -> Job:
        while True:
            self._work.clear()  # before looking: a job added meanwhile sets it again
            job = await self._store.claim_next(now(), self._first_phase)
            if job is not None:
                return job
            await self._work.wait()


def _nothing() -> None:
    pass
