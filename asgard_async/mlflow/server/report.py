"""The report on what each job stores as artifacts, for `asgard gc`."""

import asyncio
import json
from http import HTTPStatus

from .asgi import App, Receive, Scope, Send, refusal
from .attempt_token import Caller
from .callers import CALLER
from .usage import Usage

PATH = "/asgard/artifacts"
REPORTER = "report"
"""The caller, instead of a job, that may read the report and has no other permission."""
MAX_ACCOUNTS = 10_000


class Report:
    """Answers requests for the report: the largest accounts, and the total of all."""

    def __init__(self, app: App, *, usage: Usage) -> None:
        self._app = app
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        caller: Caller | None = scope[CALLER]
        # reading all records takes a while, which not everybody may cause
        if scope["method"] != "GET" or caller is None or caller.job_id != REPORTER:
            raise refusal(
                scope, HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", "Use `asgard gc --artifacts`."
            )
        accounts = await asyncio.to_thread(self._usage.artifacts_by_account)
        report = {
            "total_bytes": sum(size for _, size in accounts),
            "accounts": [
                {"name": name, "size_bytes": size} for name, size in accounts[:MAX_ACCOUNTS]
            ],
        }
        body = json.dumps(report).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
