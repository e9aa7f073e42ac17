"""Waiting for a job's end."""

import asyncio
from contextlib import aclosing

from asgard_async.client import log
from asgard_async.client.calls.connection import JOBS
from asgard_async.client.calls.jobs import JobCalls
from asgard_async.client.calls.logs import LogCalls
from asgard_async.client.errors import JobFailed
from asgard_async.client.events import EndEvent
from asgard_async.client.jobs import Job, id_of
from asgard_async.client.patience import Patience


class WaitCall(JobCalls, LogCalls):
    """Follows the job from the present end of its log, and so hears of its end at once."""

    async def wait(
        self,
        job: Job | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the caller is told what became of it
        check: bool = False,
    ) -> Job:
        """Wait for a job's end and return it in full. Bears that the service is restarted.

        Args:
            job: what to wait for.
            timeout: seconds after which to give up; the job goes on.
            check: raise when it does not complete.

        Raises:
            TimeoutError: it has not ended within `timeout`.
            JobFailed: it did not complete, with `check`.
            NotFound: there is no such job (any more).
        """
        job_id = id_of(job)
        try:
            async with asyncio.timeout(timeout) as deadline:
                ended = await self._ended(job_id)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise TimeoutError(
                f"Job {job_id} has not ended within {timeout:g} s; it goes on."
            ) from None
        if check and not ended.succeeded:
            raise JobFailed(ended)
        return ended

    async def _ended(self, job_id: str) -> Job:
        job = await self.get(job_id)
        while not job.is_finished:
            patience = Patience(self._reconnect_for)
            end = await log.log_end(self._transport, job_id, patience)
            async with aclosing(self._follow(job_id, end, patience)) as events:
                async for event in events:
                    if isinstance(event, EndEvent):
                        break
            answer = await self._transport.request(
                "GET",
                (*JOBS, job_id),
                params={"logs": "none"},
                patience=Patience(self._reconnect_for),
            )
            job = answer.read(Job)
        return job
