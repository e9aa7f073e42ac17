"""Jobs that wait too long in the queue ([jobs] queue_timeout) fail."""

import asyncio
import contextlib
from datetime import timedelta

from asgard_async.core.timestamps import now
from asgard_async.domain.job import Outcome
from asgard_async.domain.status import Phase, Reason
from asgard_async.domain.transitions import TransitionRefused
from asgard_async.store.jobs import JobStore


class QueueDeadline:
    """Ends jobs that have waited longer than `seconds`."""

    def __init__(self, *, store: JobStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._submitted = asyncio.Event()

    def wake(self) -> None:
        """A job was submitted."""
        self._submitted.set()

    async def run(self) -> None:
        """Sleep until the oldest job's time is up, or until there is one."""
        while True:
            self._submitted.clear()
            oldest = await self._store.oldest_queued_at()
            if oldest is None:
                await self._submitted.wait()
                continue
            patience = oldest + timedelta(seconds=self._seconds) - now()
            if patience > timedelta():
                await asyncio.sleep(patience.total_seconds())
            await self._end_overdue()

    async def _end_overdue(self) -> None:
        moment = now()
        for job in await self._store.queued_since_before(moment - timedelta(seconds=self._seconds)):
            outcome = Outcome(
                # the contract has no reason of its own for this; `timeout` is that of the script
                reason=Reason.START_FAILED,
                error=f"The job waited in the queue for more than {self._seconds:g} s"
                " ([jobs] queue_timeout).",
                detail="queue deadline",
                ended_at=moment,
            )
            # refused when it was started or cancelled this very moment
            with contextlib.suppress(TransitionRefused):
                await self._store.end(job.job_id, Phase.FINISHED, outcome, at=moment, attempt=0)
