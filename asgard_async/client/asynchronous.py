"""The client for asyncio."""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self

from asgard_async.client import follow as following
from asgard_async.client import log
from asgard_async.client.address import Address
from asgard_async.client.errors import JobFailed
from asgard_async.client.events import EndEvent, Event
from asgard_async.client.jobs import Job, JobPage, Status, id_of
from asgard_async.client.models import ModelVersion, RegisteredModel
from asgard_async.client.patience import Patience
from asgard_async.client.service import Readiness, Reasons, ServiceStatus
from asgard_async.client.submission import check_requirements, in_thread, upload_of
from asgard_async.client.transport import Repeat, Transport, json_body

JOBS = ("mlops", "training", "jobs")
PAGE = 500


class AsyncAsgardClient:
    """Talks to a running Asgard.

    Jobs are given as a `Job` or by their id. Every method may raise an `AsgardError`. Connections
    that fail, 429 and 503 are tried again where the same request twice does what it does once.

    Not for several event loops; `AsgardClient` serves several threads.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30,
        retry_for: float = 10,
        reconnect_for: float = 300,
    ) -> None:
        """Nothing is connected before the first call.

        Args:
            url: of the service; else ASGARD_URL, else http://127.0.0.1:8000.
            token: access token; else ASGARD_TOKEN.
            timeout: seconds that the service may be silent in an answer.
            retry_for: seconds for which a call is tried again while it fails.
            reconnect_for: seconds for which `wait` and `follow` bear that the service is away.

        Raises:
            ValueError: URL or token cannot be one.
        """
        self._address = Address(url, token)
        self._transport = Transport(self._address, timeout=timeout, retry_for=retry_for)
        self._reconnect_for = reconnect_for

    @property
    def url(self) -> str:
        """Where the service is, without credentials."""
        return self._address.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    # --- jobs -----------------------------------------------------------------------------

    async def submit(
        self,
        script: str | os.PathLike[str] | None = None,
        *,
        experiment_name: str,
        model_name: str,
        source: str | bytes | None = None,
        requirements: Sequence[str] = (),
        environment_vars: Mapping[str, str] | None = None,
        timeout: int | None = None,  # noqa: ASYNC109  # the script's
        tags: Mapping[str, str] | None = None,
        priority: int = 0,
        idempotency_key: str | None = None,
        warm: bool = True,
        script_name: str | None = None,
        entrypoint: str | None = None,
    ) -> Job:
        """Submit a training. When this returns, the job survives any crash of the service.

        Safe against connections that break: an idempotency key is made where none is given, so
        that trying again never makes a second job.

        Args:
            script: path of a .py file, of an archive (.zip, .tar.gz, .tgz) or of a directory.
                Of a directory what is hidden and virtual environments are not sent.
            experiment_name: MLflow experiment of its runs.
            model_name: under which its model is registered.
            source: text of a script, instead of a path.
            requirements: PEP 508, such as "xgboost>=2".
            environment_vars: for the script.
            timeout: seconds that the script may run; else what the service is configured for.
            tags: put on the job's MLflow runs.
            priority: -100 to 100; higher runs first.
            idempotency_key: the same key with the same submission is the same job.
            warm: False forces an interpreter of the job's own.
            script_name: what the script is called; else the name of its file.
            entrypoint: with an archive or a directory: its .py file to run.

        Raises:
            InvalidRequest: `errors` says what is wrong with which field.
            QueueFull: too many jobs wait.
            Conflict: the idempotency key was used for something else.
            ValueError, TypeError, OSError: of `script` nothing can be sent.
        """
        fields: dict[str, object] = {
            "experiment_name": experiment_name,
            "model_name": model_name,
            "requirements": check_requirements(requirements),
            "environment_vars": dict(environment_vars or {}),
            "tags": dict(tags or {}),
            "priority": priority,
            "warm": warm,
        }
        if timeout is not None:
            fields["timeout"] = timeout
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        upload = upload_of(
            script, source, script_name=script_name, entrypoint=entrypoint, fields=fields
        )
        async with in_thread(upload) as (body, content_type):
            if content_type is not None:
                headers["Content-Type"] = content_type
            answer = await self._transport.request(
                "POST", ("mlops", "training", "upload"), headers=headers, body=body
            )
        return answer.read(Job)

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

    # --- logs -----------------------------------------------------------------------------

    def follow(self, job: Job | str, offset: int = 0) -> AsyncGenerator[Event, None]:
        """What happens to a job from now on, with its log from byte `offset` on, up to its end.

        Ends after an `EndEvent`. Connections that break, also by a restart of the service, are made
        again by themselves: no byte is lost or comes twice.

        Raises:
            NotFound: there is no such job (any more).
            ConnectionFailed: the service was away for too long (`reconnect_for`).
        """
        return self._follow(id_of(job), offset)

    def _follow(
        self, job_id: str, offset: int, patience: Patience | None = None
    ) -> AsyncGenerator[Event, None]:
        return following.follow(
            self._transport,
            job_id,
            offset,
            reconnect_for=self._reconnect_for,
            patience=patience,
        )

    async def _log(
        self, job_id: str, follow: bool, offset: int, tail: int | None
    ) -> AsyncGenerator[Event, None]:
        if tail is not None:
            if offset:
                raise ValueError("Give either an offset or tail.")
            end = await log.read_tail(self._transport, job_id, tail)
            yield end
            offset = end.next
        events: AsyncGenerator[Event, None] | None = None
        if follow:
            events = self._follow(job_id, offset)
        elif tail is None:
            events = log.read_up_to_now(self._transport, job_id, offset)
        if events is not None:
            async with aclosing(events):
                async for event in events:
                    yield event

    def log_bytes(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """A job's log in pieces, byte for byte, without what is not kept; see `logs`."""
        return log.as_bytes(self._log(id_of(job), follow, offset, tail))

    def logs(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """A job's log as text, in pieces as they come: `print(text, end="")`.

        Args:
            job: whose log.
            follow: go on up to the job's end, else up to where the log ends now.
            offset: the first byte that is wanted.
            tail: begin with that many of the last lines.
        """
        return log.as_text(self._log(id_of(job), follow, offset, tail))

    def log_lines(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """A job's log line by line, without line ends; see `logs`."""
        return log.as_lines(log.as_text(self._log(id_of(job), follow, offset, tail)))

    # --- models and the service -----------------------------------------------------------

    async def models(self) -> tuple[RegisteredModel, ...]:
        """The registered models, by name.

        Raises:
            Unavailable: MLflow does not answer.
        """
        answer = await self._transport.get("mlops", "models")
        return answer.read(tuple[RegisteredModel, ...])

    async def model(self, name: str) -> RegisteredModel:
        """One registered model.

        Raises:
            NotFound: there is none of that name.
        """
        return (await self._transport.get("mlops", "models", name)).read(RegisteredModel)

    async def register(
        self,
        model_name: str,
        run_id: str,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Make a version of a registered model of the newest model that a run logged.

        Not tried again when the connection breaks in the middle: the version may exist already.
        """
        document = {
            "model_name": model_name,
            "run_id": run_id,
            "description": description,
            "tags": dict(tags or {}),
        }
        answer = await self._transport.request(
            "POST",
            ("mlops", "registry"),
            headers={"Content-Type": "application/json"},
            body=json_body(document),
            repeat=Repeat.UNDONE,
        )
        return answer.read(ModelVersion)

    async def status(self) -> ServiceStatus:
        """How Asgard and its MLflow are."""
        return (await self._transport.get("mlops", "status")).read(ServiceStatus)

    async def ready(self) -> Readiness:
        """Whether jobs are taken, and if not, why."""
        answer = await self._transport.once("health", "ready")
        if answer.status == 503:
            return Readiness(ready=False, reasons=answer.read(Reasons).reasons)
        return Readiness(ready=answer.status == 200)
