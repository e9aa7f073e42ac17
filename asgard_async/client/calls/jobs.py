"""One job, the list of jobs, and what is done with a job."""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Literal

from asgard_async.client.calls.connection import JOBS, Connection
from asgard_async.client.jobs import Job, JobPage, Status, id_of
from asgard_async.client.transport import Repeat

PAGE = 500
"""The most that the service gives at once."""


class JobCalls(Connection):
    """/mlops/training/jobs."""

    async def get(self, job: Job | str, *, logs: Literal["none", "tail", "full"] = "none") -> Job:
        """A job with all that is known of it, and with nothing, the end or all of its log.

        Raises:
            NotFound: there is no such job.
        """
        answer = await self._transport.get(*JOBS, id_of(job), logs=logs)
        return answer.read(Job)

    async def list(
        self,
        *,
        status: Status | str | None = None,
        experiment_name: str | None = None,
        model_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Job, None]:
        """Jobs in short, newest first, of which all filters hold; page after page is asked for.

        Args:
            status: such as "running".
            experiment_name: exactly this.
            model_name: exactly this.
            tags: one tag and its value.
            created_after: an aware time.
            limit: at most so many; else all.

        Raises:
            ValueError: there is more than one tag, or the time is naive.
        """
        if tags is not None and len(tags) > 1:
            raise ValueError("The service filters by one tag.")
        if created_after is not None and created_after.tzinfo is None:
            raise ValueError("created_after has no time zone; datetime.now(UTC) has one.")
        filters: dict[str, str | int | None] = {
            "status": status,
            "experiment_name": experiment_name,
            "model_name": model_name,
            "tag": next((f"{key}:{value}" for key, value in (tags or {}).items()), None),
            "created_after": created_after.astimezone(UTC).isoformat() if created_after else None,
        }
        cursor, left = None, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            answer = await self._transport.get(*JOBS, **filters, cursor=cursor, limit=size)
            page = answer.read(JobPage)
            for job in page.jobs:
                yield job
            left = None if left is None else left - len(page.jobs)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job, queued or running; one that has ended stays as it is."""
        return await self._act(id_of(job), "cancel", Repeat.ALWAYS)

    async def retry(self, job: Job | str) -> Job:
        """Submit a job's specification again, as a new job, which is returned.

        Not tried again when the connection breaks in the middle: the new job may exist already.
        """
        return await self._act(id_of(job), "retry", Repeat.UNDONE)

    async def _act(self, job_id: str, action: str, repeat: Repeat) -> Job:
        answer = await self._transport.request("POST", (*JOBS, job_id, action), repeat=repeat)
        return answer.read(Job)

    async def delete(self, job: Job | str) -> None:
        """Forget a finished job with its script, log and files; its runs and models stay.

        Raises:
            NotFound: there is no such job.
            Conflict: it has not finished.
        """
        await self._transport.request("DELETE", (*JOBS, id_of(job)), gone=True)

    async def script(self, job: Job | str) -> bytes:
        """A job's script or archive as it was uploaded."""
        return (await self._transport.get(*JOBS, id_of(job), "script")).body
