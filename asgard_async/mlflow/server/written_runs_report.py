"""The report on the runs that jobs wrote to, for the service."""

import dataclasses
import json
from http import HTTPStatus
from urllib.parse import parse_qs

from .asgi import App, Receive, Scope, Send, refusal
from .attempt_token import Caller
from .callers import CALLER
from .written_runs import WrittenRuns

PATH = "/asgard/runs"


class WrittenRunsReport:
    """Answers requests of the service for the runs of the jobs named in the query."""

    def __init__(self, app: App, *, written: WrittenRuns) -> None:
        self._app = app
        self._written = written

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        caller: Caller | None = scope[CALLER]
        if scope["method"] != "GET" or caller is None or not caller.is_service:
            raise refusal(
                scope, HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", "Only the service may ask."
            )
        query = parse_qs(scope["query_string"].decode("latin-1"))
        job_ids = ",".join(query.get("job_ids", [])).split(",")
        runs = [dataclasses.asdict(run) for run in self._written.of_jobs(job_ids)]
        body = json.dumps({"runs": runs}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
