"""The API may be open on loopback only."""

from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from asgard_async.api.http.authentication import guard
from asgard_async.api.http.middlewares import problems
from asgard_async.api.http.requests_in_progress import RequestsInProgress
from asgard_async.auth.audit import AuditLog
from asgard_async.auth.authenticator import Authenticator
from asgard_async.auth.denials import Denials
from asgard_async.auth.failures import Failures
from asgard_async.auth.token_file import TokenFile
from asgard_async.config import load_config


@pytest.mark.parametrize(
    ("may_be_open", "status"), [(True, HTTPStatus.OK), (False, HTTPStatus.UNAUTHORIZED)]
)
async def test_removing_all_tokens_opens_only_loopback(
    tmp_path: Path, may_be_open: bool, status: HTTPStatus
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    authenticator = Authenticator(TokenFile(tmp_path / "tokens.json"), may_be_open=may_be_open)
    guarded = guard(
        authenticator,
        Failures(),
        in_progress=RequestsInProgress(load_config(environ={}).http),
        denials=Denials(AuditLog(tmp_path / "audit.log")),
        allowed_hosts=frozenset(),
    )
    app = web.Application(middlewares=[problems, guarded])
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        assert response.status == status
