"""Reading, listing, cancelling, retrying and deleting jobs."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Literal, Unpack

from asgard_async.client.calls.connection import JOBS, Connection
from asgard_async.client.changes import Changes, changes_body
from asgard_async.client.jobs import Job, JobPage, Status, id_of
from asgard_async.client.transport import Retry, json_body

PAGE = 500
"""The service's largest page size."""


class JobCalls(Connection):
    """/mlops/training/jobs."""

    async def get(self, job: Job | str, *, logs: Literal["none", "tail", "full"] = "none") -> Job:
        """Return a job with all its fields, and none, the end or all of its log.

        Raises:
            NotFound: there is no such job.
        """
        response = await self._transport.get(*JOBS, id_of(job), logs=logs)
        return response.read(Job)

    async def list(
        self,
        *,
        status: Status | str | None = None,
        experiment_name: str | None = None,
        model_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        arg: str | None = None,
        params: Mapping[str, bool | int | float | str] | None = None,
        environment_var: str | None = None,
        created_after: datetime | None = None,
        owner: str | None = None,
        mine: bool = False,
        limit: int | None = None,
    ) -> AsyncGenerator[Job, None]:
        """Yield jobs that match all filters, newest first, fetching pages as needed.

        Listed jobs have a short form: some fields are set only by `get`.

        Args:
            status: such as "running".
            experiment_name: the exact name.
            model_name: the exact name.
            tags: one tag and its value.
            arg: one of the command-line arguments.
            params: one parameter and its value.
            environment_var: the name of an environment variable.
            created_after: an aware datetime.
            owner: the name of the token that submitted the jobs.
            mine: only jobs that were submitted with this client's token.
            limit: maximum number of jobs; default: all.

        Raises:
            ValueError: there is more than one tag or parameter, or the datetime is naive.
        """
        if created_after is not None and created_after.tzinfo is None:
            raise ValueError("created_after needs a time zone, as in datetime.now(UTC).")
        filters: dict[str, str | int | None] = {
            "status": status,
            "experiment_name": experiment_name,
            "model_name": model_name,
            "tag": _one("tags", tags),
            "arg": arg,
            "param": _one("params", params),
            "environment_var": environment_var,
            "created_after": created_after.astimezone(UTC).isoformat() if created_after else None,
            "owner": owner,
            "mine": "true" if mine else None,
        }
        cursor, remaining = None, limit
        while remaining is None or remaining > 0:
            size = PAGE if remaining is None else min(PAGE, remaining)
            response = await self._transport.get(*JOBS, **filters, cursor=cursor, limit=size)
            page = response.read(JobPage)
            for job in page.jobs:
                yield job
            remaining = None if remaining is None else remaining - len(page.jobs)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a queued or running job; a finished job does not change."""
        response = await self._transport.request("POST", (*JOBS, id_of(job), "cancel"))
        return response.read(Job)

    async def retry(
        self,
        job: Job | str,
        *,
        idempotency_key: str | None = None,
        **changes: Unpack[Changes],
    ) -> Job:
        """Submit a job's specification again, with changes if any, and return the new job.

        `changes` are arguments of `submit`. Mappings are merged with those of the job by name, and
        None removes a name; everything else is replaced.

        If an administrator retries the job of another token, `omitted` of the new job names the
        fields that it lacks: environment_vars.

        Without `idempotency_key`, not repeated after a lost connection: the new job may exist
        already.

        Raises:
            InvalidRequest: the changed submission is invalid; `errors` has the messages by field.
        """
        body = changes_body(changes, idempotency_key)
        response = await self._transport.request(
            "POST",
            (*JOBS, id_of(job), "retry"),
            headers={"Content-Type": "application/json"} if body else None,
            body=json_body(body) if body else nullcontext,
            retry=Retry.ALWAYS if idempotency_key else Retry.IF_NOT_PROCESSED,
        )
        return response.read(Job)

    async def delete(self, job: Job | str) -> None:
        """Delete a finished job with its script, log and files; its runs and models are kept.

        Raises:
            NotFound: there is no such job.
            Conflict: the job has not finished.
        """
        await self._transport.request("DELETE", (*JOBS, id_of(job)), missing_ok=True)

    async def script(self, job: Job | str) -> bytes:
        """Return a job's script or archive as it was uploaded."""
        return (await self._transport.get(*JOBS, id_of(job), "script")).body


def _one(name: str, pairs: Mapping[str, bool | int | float | str] | None) -> str | None:
    """Return the only pair as `key:value`; None if there is none.

    Raises:
        ValueError: there is more than one.
    """
    if not pairs:
        return None
    if len(pairs) > 1:
        raise ValueError(f"{name}= accepts one {name.removesuffix('s')}.")
    ((key, value),) = pairs.items()
    return f"{key}:{value if isinstance(value, str) else json.dumps(value)}"
