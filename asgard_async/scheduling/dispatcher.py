"""The dispatcher, which moves jobs from the queue to the executor as admission allows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from asgard_async.core.tasks import BackgroundTasks
from asgard_async.core.timestamps import now
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase
from asgard_async.executors.admission import Admission
from asgard_async.store.jobs import JobStore

logger = logging.getLogger(__name__)


class JobRunner(Protocol):
    """Runs jobs to their end; see `jobs.lifecycle.Lifecycle`."""

    async def run(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Run a newly claimed job to its end."""

    async def resume(self, job: Job, release_slot: Callable[[], None]) -> None:
        """Run a job to its end that an earlier service process left unfinished."""


class Dispatcher:
    """Starts queued jobs once `ready` has returned: the highest priority first, then the oldest.

    Until then, jobs stay in the queue, because a claimed job would occupy a slot while it waits.
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
        """Check the queue for a new job."""
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
        # a job in RECORDING is no longer running
        release = _nothing if job.phase is Phase.RECORDING else self._admission.adopt(job).release
        self._background.start(f"job {job.job_id}", self._lifecycle.resume(job, release))

    async def run(self) -> None:
        """Start queued jobs until cancelled."""
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
            self._work.clear()  # before the query, so that a job added meanwhile sets it again
            job = await self._store.claim_next(now(), self._first_phase)
            if job is not None:
                return job
            await self._work.wait()


def _nothing() -> None:
    pass
