"""The deadline of queued jobs ([jobs] queue_timeout)."""

import asyncio
import contextlib
from datetime import timedelta

from asgard_async.core.timestamps import now
from asgard_async.domain.job import Outcome
from asgard_async.domain.status import Phase, Reason
from asgard_async.domain.transitions import TransitionRefused
from asgard_async.store.jobs import JobStore


class QueueDeadline:
    """Fails jobs that have been queued for more than `seconds`."""

    def __init__(self, *, store: JobStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._submitted = asyncio.Event()

    def wake(self) -> None:
        """Check the queue for a newly submitted job."""
        self._submitted.set()

    async def run(self) -> None:
        """Fail overdue jobs; sleep until the oldest job's deadline, or until a job is submitted."""
        while True:
            self._submitted.clear()
            oldest = await self._store.oldest_queued_at()
            if oldest is None:
                await self._submitted.wait()
                continue
            remaining = oldest + timedelta(seconds=self._seconds) - now()
            if remaining > timedelta():
                await asyncio.sleep(remaining.total_seconds())
            await self._fail_overdue()

    async def _fail_overdue(self) -> None:
        moment = now()
        for job in await self._store.queued_since_before(moment - timedelta(seconds=self._seconds)):
            outcome = Outcome(
                # the API has no separate reason for this; `timeout` refers to the script
                reason=Reason.START_FAILED,
                error=f"The job waited in the queue for more than {self._seconds:g} s"
                " ([jobs] queue_timeout).",
                detail="queue deadline",
                ended_at=moment,
            )
            # refused if the job has just been started or cancelled
            with contextlib.suppress(TransitionRefused):
                await self._store.end(job.job_id, Phase.FINISHED, outcome, at=moment, attempt=0)
