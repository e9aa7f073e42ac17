"""Waiting for a job to end."""

import asyncio
from contextlib import aclosing

from asgard_async.client import log
from asgard_async.client.calls.connection import JOBS
from asgard_async.client.calls.jobs import JobCalls
from asgard_async.client.calls.logs import LogCalls
from asgard_async.client.errors import JobFailed
from asgard_async.client.events import EndEvent
from asgard_async.client.jobs import Job, id_of
from asgard_async.client.retry_budget import RetryBudget


class WaitCall(JobCalls, LogCalls):
    """Waiting, by following the job from the current end of its log."""

    async def wait(
        self,
        job: Job | str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the error says that the job continues
        check: bool = False,
    ) -> Job:
        """Wait for a job to end and return it with all fields. Survives restarts of the service.

        Args:
            job: the job to wait for.
            timeout: seconds after which to give up; the job continues.
            check: raise `JobFailed` unless the job completes.

        Raises:
            TimeoutError: the job has not ended within `timeout`.
            JobFailed: with `check`, the job did not complete.
            NotFound: there is no such job, or it was deleted.
        """
        job_id = id_of(job)
        try:
            async with asyncio.timeout(timeout) as deadline:
                finished_job = await self._wait_until_finished(job_id)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise TimeoutError(
                f"Job {job_id} has not ended within {timeout:g} s; it continues to run."
            ) from None
        if check and not finished_job.succeeded:
            raise JobFailed(finished_job)
        return finished_job

    async def _wait_until_finished(self, job_id: str) -> Job:
        job = await self.get(job_id)
        while not job.is_finished:
            budget = RetryBudget(self._reconnect_for)
            end = await log.log_end(self._transport, job_id, budget)
            async with aclosing(self._follow(job_id, end, budget)) as events:
                async for event in events:
                    if isinstance(event, EndEvent):
                        break
            response = await self._transport.request(
                "GET",
                (*JOBS, job_id),
                params={"logs": "none"},
                budget=RetryBudget(self._reconnect_for),
            )
            job = response.read(Job)
        return job
