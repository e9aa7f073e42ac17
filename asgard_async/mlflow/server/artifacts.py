"""Bounds on what each job stores in MLflow: the bytes of its artifacts and records, and its runs.

Artifacts are counted by path, as long as they exist; other writes by the size of their bodies. A
caller without a token shares one account with all others of the same user on the same day.
"""

import asyncio
import os
import posixpath
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from .asgi import App, Message, Receive, RequestRefused, Scope, Send, header, refusal
from .attempt_token import Caller
from .callers import CALLER
from .peer_user import user_of
from .protection import IDENTITY
from .usage import Usage

STREAMED = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts/(.*)", re.DOTALL)
BUFFERED = re.compile(r"/(?:ajax-)?api/2\.0/mlflow/upload-artifact")
CREATES = re.compile(
    r"/(?:ajax-)?api/\d\.0/mlflow/"
    r"(?:[a-z-]+/(?:create|register)|runs/create-promptlab-run|review-queues/get-or-create-user"
    r"|logged-models|traces|issues|workspaces)/?"
)
READS = re.compile(
    r"/(?:ajax-)?api/\d\.0/mlflow/[a-z-]+/(?:search|search-datasets|get-latest-versions)"
)
"""Searches, which are sent by POST. The path of a write may end in the same word, or contain it: a
job chooses the ids of its traces. Such a path is longer, or its method is another one."""
LEAST_BYTES = 4096
"""Minimum size of an artifact, and of each directory beyond the usual ones."""
USUAL_DEPTH = 8
MAX_CREATED = 10_000
"""Runs, experiments and models that a job may create."""
MAX_CREATED_ANONYMOUSLY = 100_000
MAX_RECORD_BYTES = 128 << 20
"""Bodies other than artifacts that a job may send: parameters, metrics, tags. MLflow reads all tags
of a run at once."""
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
        self._incoming: Counter[str] = Counter()
        """Bytes that are being received, by account."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            if scope["type"] == "http" and STREAMED.fullmatch(scope["path"]):
                self._check_disk(scope)  # MLflow copies artifacts of object stores to the disk
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        caller: Caller | None = scope[CALLER]
        is_search = scope["method"] == "POST" and READS.fullmatch(path) is not None
        if is_search or (caller is not None and caller.is_service):
            await self._app(scope, receive, send)
            return
        artifact = _artifact(scope)
        if scope["method"] == "DELETE" and artifact is not None:

            async def forget() -> None:
                await asyncio.to_thread(self._usage.forget, artifact)

            await self._app(scope, receive, _before_success(send, forget))
            return
        account = caller.job_id if caller is not None else _anonymous(scope)
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
        intake = _Intake(account=account, artifact=artifact, declared=_declared(scope))
        try:
            await self._take_in(scope, receive, send, intake, creates=creates)
        finally:
            self._incoming[intake.pool] -= intake.reserved
            if not self._incoming[intake.pool]:
                del self._incoming[intake.pool]
            if artifact is None:
                self._usage.add(account, written=intake.newly_received())

    async def _take_in(
        self, scope: Scope, receive: Receive, send: Send, intake: "_Intake", *, creates: bool
    ) -> None:
        account, artifact = intake.account, intake.artifact
        # an upload that replaces an artifact frees its space
        freed = 0 if artifact is None else self._usage.size_of(artifact, account)
        self._incoming[intake.pool] += intake.reserved

        async def counted() -> Message:
            message = await receive()
            self._incoming[intake.pool] += intake.add(len(message.get("body", b"")))
            self._check(scope, intake, freed)
            if intake.is_disk_check_due():
                self._check_disk(scope)
            return message

        async def record() -> None:
            if artifact is not None:
                await asyncio.to_thread(self._usage.store, artifact, account, intake.stored)
            else:
                self._usage.add(
                    account, written=intake.newly_received(), created=1 if creates else 0
                )
            self._incoming[intake.pool] -= intake.release()

        if artifact is not None:
            self._check(scope, intake, freed)  # now, so that less of what is refused is sent
        upload = self._usage.begin_upload(artifact) if artifact and is_streamed(scope) else 0
        try:
            await self._app(scope, counted, _before_success(send, record))
        finally:
            if upload:
                self._usage.end_upload(upload)

    def _check(self, scope: Scope, intake: "_Intake", freed: int) -> None:
        incoming = self._incoming[intake.pool]
        if intake.artifact is None:
            if self._usage.record_bytes(intake.account) + incoming > MAX_RECORD_BYTES:
                raise _too_many_records(scope)
        elif self._max_bytes:
            total = self._usage.artifact_bytes(intake.account) + incoming - freed
            if total > self._max_bytes:
                raise self._full(scope)

    def _full(self, scope: Scope) -> RequestRefused:
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


class _Intake:
    """A body that is being received, and the bytes reserved for it."""

    def __init__(self, *, account: str, artifact: str | None, declared: int) -> None:
        self.account = account
        self.artifact = artifact
        self.pool = account if artifact is not None else f"records of {account}"
        self.size = self._counted = 0
        self.overhead = 0 if artifact is None else _overhead(artifact)
        self.reserved = self.overhead + (0 if artifact is None else declared)
        self._disk_checked_at = -DISK_CHECK_BYTES

    @property
    def stored(self) -> int:
        """The bytes to record for an artifact."""
        return max(LEAST_BYTES, self.size) + self.overhead

    def add(self, size: int) -> int:
        """Count received bytes; return those beyond what is reserved, and reserve them."""
        self.size += size
        beyond = max(0, self.overhead + self.size - self.reserved)
        self.reserved += beyond
        return beyond

    def newly_received(self) -> int:
        """Return the bytes received since the last call."""
        size, self._counted = self.size - self._counted, self.size
        return size

    def release(self) -> int:
        """Return the reserved bytes, of which none remain."""
        reserved, self.reserved = self.reserved, 0
        return reserved

    def is_disk_check_due(self) -> bool:
        if self.artifact is None or self.size - self._disk_checked_at < DISK_CHECK_BYTES:
            return False
        self._disk_checked_at = self.size
        return True


def _too_many_records(scope: Scope) -> RequestRefused:
    return refusal(
        scope,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "RESOURCE_LIMIT_EXCEEDED",
        f"This job has sent {MAX_RECORD_BYTES >> 20} MiB of parameters, metrics and tags to MLflow;"
        " log less often, or log them as an artifact.",
    )


def _declared(scope: Scope) -> int:
    length = header(scope, b"content-length")
    return int(length) if length.isdigit() else 0


def _before_success(send: Send, action: Callable[[], Awaitable[None]]) -> Send:
    """Return a `send` that calls `action` before a successful response.

    The caller may send its next request as soon as it has the response.
    """

    async def observed(message: Message) -> None:
        if message["type"] == "http.response.start" and 200 <= message["status"] < 300:
            await action()
        await send(message)

    return observed


def _anonymous(scope: Scope) -> str:
    """Return the account of a caller that is no job: of a token of Asgard, or of a user.

    Under root each job has a user of its own, so it cannot use up what others may store.
    """
    if (identity := scope.get(IDENTITY)) is not None:
        return time.strftime(f"token-%Y-%m-%d-{identity.account.replace('%', '%%')}")
    uid = user_of(scope)
    return time.strftime(f"anonymous-%Y-%m-%d{'' if uid is None else f'-uid-{uid}'}")


def _artifact(scope: Scope) -> str | None:
    """Return the name under which an artifact is counted; None for other requests."""
    if (streamed := STREAMED.fullmatch(scope["path"])) is not None:
        return posixpath.normpath("/" + streamed[1])[1:]
    if BUFFERED.fullmatch(scope["path"]) and scope["method"] == "POST":
        # not the whole query, in which anything may be added to name the same artifact again
        query = parse_qs(scope["query_string"].decode("latin-1"))
        run, path = (query.get(name, [""])[0] for name in ("run_uuid", "path"))
        return f"?run_uuid={run}&path={posixpath.normpath(path)}"
    return None


def _overhead(artifact: str) -> int:
    return LEAST_BYTES * max(0, artifact.count("/") - USUAL_DEPTH)
