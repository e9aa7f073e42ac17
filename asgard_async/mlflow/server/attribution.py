"""Attribution of runs and models to the jobs that create them, and of runs to those that write.

The caller's token identifies the job, so it does not matter which client the job uses, or what that
client sends as tags.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from .asgi import App, Message, Receive, Scope, Send, read_body
from .attempt_token import Caller
from .callers import CALLER
from .protection import IDENTITY
from .tags import ATTEMPT_TAG, JOB_TAG, OWN_TAGS, SERVER_TAG
from .written_runs import WrittenRuns

CALL = re.compile(r"/(?:ajax-)?api/\d\.\d/mlflow/(.+?)/?")
CREATES = frozenset({"runs/create", "logged-models"})
CHANGES_TAG = frozenset({"runs/set-tag", "runs/delete-tag"})
WRITES = CHANGES_TAG | {
    *("runs/update", "runs/log-metric", "runs/log-parameter", "runs/log-batch"),
    *("runs/log-model", "runs/log-inputs", "runs/outputs"),
}
MODEL_TAGS = re.compile(r"logged-models/[^/]+/tags")
MODEL_TAG = re.compile(r"logged-models/[^/]+/tags/(.+)")
ARTIFACT = re.compile(
    r"/(?:ajax-)?api/\d\.\d/mlflow-artifacts/artifacts/\d+/([0-9a-f]{32})/artifacts/.+", re.DOTALL
)
# Found by a pattern: a batch of metrics takes long to decode, and its first field is the run.
RUN_ID = re.compile(rb'"run_?(?:id|uuid|Id|Uuid)"\s*:\s*"([0-9a-f]{32})"')
SOURCE_RUN_ID = re.compile(rb'"source_?[rR]un_?[iI]d"\s*:\s*"([0-9a-f]{32})"')
OPENS = re.compile(rb'"status"\s*:\s*(?:"RUNNING"|1\b)')
MAY_NAME_TAG = re.compile(rb"asgard|\\u|\x00")
"""Found in every body with one of the tags, however it is encoded."""


class Attribution:
    """Sets the tags of jobs on what they create, and notes the runs that they write to."""

    def __init__(self, app: App, *, written: WrittenRuns, server_id: str) -> None:
        self._app = app
        self._written = written
        self._server_id = server_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, of which bodies must be bounded."""
        caller: Caller | None = scope.get(CALLER)
        is_service = caller is not None and caller.is_service
        # while the guard is off, anyone may call, and the tags are as the caller sends them
        is_stranger = caller is None and IDENTITY not in scope
        if is_service or is_stranger or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
        elif call := CALL.fullmatch(scope["path"]):
            await self._handle(call[1], caller, scope, receive, send)
        elif caller is not None and (artifact := ARTIFACT.fullmatch(scope["path"])):
            await self._app(scope, receive, self._noting(send, caller, artifact[1]))
        else:
            await self._app(scope, receive, send)

    async def _handle(
        self, call: str, caller: Caller | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] == "DELETE":
            if (tag := MODEL_TAG.fullmatch(call)) and tag[1] in OWN_TAGS:
                await _respond_empty(send)
                return
        elif call == "upload-artifact" and caller is not None:
            query = parse_qs(scope["query_string"].decode("latin-1"))
            send = self._noting(send, caller, *query.get("run_uuid", []))
        elif call in CREATES or call in WRITES or MODEL_TAGS.fullmatch(call):
            body = await read_body(receive)
            if body is None:
                return  # the client has disconnected
            changed = self._rewritten(call, caller, body)
            if changed is None:
                await _respond_empty(send)
                return
            if changed is not body:
                _set_length(scope, len(changed))
            receive = _replaying(changed, receive)
            if caller is not None:
                send = self._observed(call, caller, body, send)
        await self._app(scope, receive, send)

    def _rewritten(self, call: str, caller: Caller | None, body: bytes) -> bytes | None:
        """Return the body to pass on; None if nothing is left of the request."""
        if call in CREATES and (caller is not None or MAY_NAME_TAG.search(body)):
            request = _decode(body)
            tags = {}
            if caller is not None:
                tags = {
                    JOB_TAG: caller.job_id,
                    ATTEMPT_TAG: str(caller.attempt),
                    SERVER_TAG: self._server_id,
                }
            own = [{"key": key, "value": value} for key, value in tags.items()]
            others = _without_own(request.pop("tags", None))
            # first, since MLflow may ignore what follows a field that it cannot read
            return json.dumps({"tags": own + others, **request}).encode()
        if not MAY_NAME_TAG.search(body):
            return body
        request = _decode(body)
        if call in CHANGES_TAG:
            return None if _is_own(request) else body
        tags_sent = request.get("tags")
        if not isinstance(tags_sent, list) or not any(map(_is_own, tags_sent)):
            return body
        return json.dumps({**request, "tags": _without_own(tags_sent)}).encode()

    def _observed(self, call: str, caller: Caller, body: bytes, send: Send) -> Send:
        if call == "runs/create":
            return self._noting_created(send, caller)
        run_id = (SOURCE_RUN_ID if call == "logged-models" else RUN_ID).search(body)
        if run_id is None:
            return send
        opened = call == "runs/update" and OPENS.search(body) is not None
        return self._noting(send, caller, run_id[1].decode(), opened=opened)

    def _noting(self, send: Send, caller: Caller, *run_ids: str, opened: bool = False) -> Send:
        def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                for run_id in run_ids:
                    self._written.add(caller, run_id, opened=opened)

        return _on_success(send, note)

    def _noting_created(self, send: Send, caller: Caller) -> Send:
        def note(message: Message) -> None:
            if run_id := RUN_ID.search(message.get("body", b"")):
                self._written.add_created(caller, run_id[1].decode())

        return _on_success(send, note)


def _on_success(send: Send, note: Callable[[Message], None]) -> Send:
    """Return a `send` that passes each message of a successful response to `note` first.

    So the service never misses a run whose writer has received its response.
    """
    succeeded = False

    async def observed(message: Message) -> None:
        nonlocal succeeded
        if message["type"] == "http.response.start":
            succeeded = 200 <= message["status"] < 300
        if succeeded:
            note(message)
        await send(message)

    return observed


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that yields a body, then what follows it."""
    has_replayed = False

    async def replay() -> Message:
        nonlocal has_replayed
        if has_replayed:
            return await receive()
        has_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _set_length(scope: Scope, length: int) -> None:
    # in the same scope, in which the outer middleware looks for refusals
    replaced = {b"content-length", b"transfer-encoding"}
    headers = [item for item in scope["headers"] if item[0] not in replaced]
    scope["headers"] = [*headers, (b"content-length", str(length).encode())]


def _decode(body: bytes) -> dict[str, Any]:
    """Decode a body as MLflow does; empty if that fails."""
    try:
        content = json.loads(body)
        if isinstance(content, str):  # older clients encode twice
            content = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_own(tag: object) -> bool:
    if not isinstance(tag, dict):
        return False
    key = tag.get("key")
    return isinstance(key, str) and key in OWN_TAGS


def _without_own(tags: object) -> list[Any]:
    return [tag for tag in tags if not _is_own(tag)] if isinstance(tags, list) else []


async def _respond_empty(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})
