"""Bounds on what each job stores in MLflow: the bytes of its artifacts and records, and its runs.

Artifacts are counted by path, as long as they exist; other writes by the size of their bodies. A
caller without a token shares one account with all others of its kind on the same day.
"""

import asyncio
import os
import posixpath
import re
import time
from http import HTTPStatus
from pathlib import Path

from .asgi import App, Message, Receive, Refused, Scope, Send, header, refusal
from .attempt_token import Caller
from .callers import CALLER
from .usage import Usage

STREAMED = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts/(.*)", re.DOTALL)
BUFFERED = re.compile(r"/(?:ajax-)?api/2\.0/mlflow/upload-artifact")
CREATES = re.compile(
    r"/(?:ajax-)?api/\d\.0/mlflow/"
    r"(?:runs/create|experiments/create|logged-models|registered-models/create"
    r"|model-versions/create|traces|datasets/create)/?"
)
READS = re.compile(r"/(?:ajax-)?api/\d\.0/mlflow/.*(?:search|graphql|get-.*|query)")
LEAST_BYTES = 4096
"""Minimum size of an artifact, and of each directory beyond the usual ones."""
USUAL_DEPTH = 8
MAX_CREATED = 10_000
"""Runs, experiments and models that a job may create."""
MAX_CREATED_ANONYMOUSLY = 100_000
DISK_CHECK_BYTES = 16 << 20


def is_streamed(scope: Scope) -> bool:
    """Return whether the request uploads an artifact, whose body MLflow does not buffer."""
    return scope["method"] == "PUT" and STREAMED.fullmatch(scope["path"]) is not None


class Storage:
    """Refuses uploads and other writes beyond a job's allowance, while they are received."""

    def __init__(
        self, app: App, *, usage: Usage, max_bytes: int, directory: Path, min_free_bytes: int
    ) -> None:
        """`max_bytes` is the allowance of a job; 0 for no limit.

        On the disk of `directory`, through which all artifacts pass, `min_free_bytes` must stay
        free.
        """
        self._app = app
        self._usage = usage
        self._max_bytes = max_bytes
        self._directory = directory
        self._min_free_bytes = min_free_bytes
        self._incoming: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            if scope["type"] == "http" and STREAMED.fullmatch(scope["path"]):
                self._check_disk(scope)  # MLflow copies artifacts of object stores to the disk
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        caller: Caller | None = scope[CALLER]
        if READS.fullmatch(path) or (caller is not None and caller.is_service):
            await self._app(scope, receive, send)
            return
        artifact = _artifact(scope)
        if scope["method"] == "DELETE" and artifact is not None:
            if await self._succeeds(scope, receive, send):
                await asyncio.to_thread(self._usage.forget, artifact)
            return
        account = caller.job_id if caller is not None else time.strftime("anonymous-%Y-%m-%d")
        creates = CREATES.fullmatch(path) is not None and scope["method"] == "POST"
        if creates:
            limit = MAX_CREATED if caller is not None else MAX_CREATED_ANONYMOUSLY
            if self._usage.created(account) >= limit:
                raise refusal(
                    scope,
                    HTTPStatus.BAD_REQUEST,
                    "RESOURCE_LIMIT_EXCEEDED",
                    f"This job has created {limit} runs, experiments and models; use fewer.",
                )
        await self._store(scope, receive, send, account, artifact, creates)

    async def _store(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        account: str,
        artifact: str | None,
        creates: bool,
    ) -> None:
        size, checked_at = 0, -DISK_CHECK_BYTES
        base = 0 if artifact is None else _overhead(artifact)
        # an upload that replaces an artifact frees its space
        freed = 0 if artifact is None else self._usage.size_of(artifact, account)
        declared = header(scope, b"content-length")
        reserved = base + (int(declared) if declared.isdigit() and artifact is not None else 0)
        self._incoming[account] = self._incoming.get(account, 0) + reserved

        def check() -> None:
            total = self._usage.bytes_of(account) + self._incoming[account]
            if self._max_bytes and total - freed > self._max_bytes:
                raise self._full(scope)

        async def counted() -> Message:
            nonlocal size, reserved, checked_at
            message = await receive()
            size += len(message.get("body", b""))
            if (beyond := base + size - reserved) > 0:
                reserved += beyond
                self._incoming[account] += beyond
            check()
            if artifact is not None and size - checked_at >= DISK_CHECK_BYTES:
                checked_at = size
                self._check_disk(scope)
            return message

        try:
            if artifact is not None:
                check()  # now, so that less of what is refused is sent
            succeeded = await self._succeeds(scope, counted, send)
        finally:
            self._incoming[account] -= reserved
            if not self._incoming[account]:
                del self._incoming[account]
        if artifact is not None and succeeded:
            await asyncio.to_thread(
                self._usage.store, artifact, account, max(LEAST_BYTES, size) + base
            )
        elif artifact is None and (size or creates):
            self._usage.add(account, written=size, created=int(creates and succeeded))

    async def _succeeds(self, scope: Scope, receive: Receive, send: Send) -> bool:
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, observed)
        return 200 <= status < 300

    def _full(self, scope: Scope) -> Refused:
        return refusal(
            scope,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "RESOURCE_LIMIT_EXCEEDED",
            f"This job's artifacts would exceed {self._max_bytes >> 20} MiB ([limits] job_dir_mb);"
            " log fewer or smaller ones, or delete some.",
        )

    def _check_disk(self, scope: Scope) -> None:
        if not self._min_free_bytes:
            return
        status = os.statvfs(self._directory)
        if status.f_bavail * status.f_frsize < self._min_free_bytes:
            raise refusal(
                scope,
                HTTPStatus.INSUFFICIENT_STORAGE,
                "RESOURCE_LIMIT_EXCEEDED",
                "The disk of the artifact store is full ([server] min_free_mb); free some space.",
            )


def _artifact(scope: Scope) -> str | None:
    """Return the name under which an artifact is counted; None for other requests."""
    if (streamed := STREAMED.fullmatch(scope["path"])) is not None:
        return posixpath.normpath("/" + streamed[1])[1:]
    if BUFFERED.fullmatch(scope["path"]) and scope["method"] == "POST":
        return f"?{scope['query_string'].decode('latin-1')}"
    return None


def _overhead(artifact: str) -> int:
    return LEAST_BYTES * max(0, artifact.count("/") - USUAL_DEPTH)
