"""Once a token exists, everything but /health requires one with a sufficient scope."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import WSServerHandshakeError, hdrs

from asgard_async.api.routes import PAGES, ROUTES
from asgard_async.auth.token import Scope
from asgard_async.domain.status import Phase
from tests.support.api_service import (
    ENDLESS,
    bearer,
    problem,
    running,
    service_config,
    store_of,
    tokens_of,
)
from tests.support.app_server import Client
from tests.support.route_paths import filled
from tests.support.service import submission

VERBS = sorted(hdrs.METH_ALL - {hdrs.METH_CONNECT})
PATHS = [*sorted({route.path for route in [*ROUTES, *PAGES]}), "/", "/nowhere"]
JOB = "0123abcd"
UPLOAD = "/mlops/training/upload"

Headers = dict[str, str]


def by(secret: str) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


@asynccontextmanager
async def with_a_token(data_dir: Path) -> AsyncIterator[Client]:
    # so that a test can have many addresses: wrong tokens throttle each address
    config = service_config(data_dir, server={"trusted_proxies": ["127.0.0.1"]})
    async with running(config) as client:
        bearer(client, Scope.ADMIN)
        yield client
        # the client looks for running jobs on exit, which must not need a token
        (data_dir / "tokens.json").unlink()


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that has a token."""
    async with with_a_token(tmp_path) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_closed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A service that has tokens, for the tests that send wrong ones only from `ADDRESSES`."""
    async with with_a_token(tmp_path_factory.mktemp("closed")) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endless(shared_closed: Client) -> str:
    """The id of a job of the shared service."""
    accepted = await shared_closed.post(
        UPLOAD, json=submission(ENDLESS), headers=bearer(shared_closed, Scope.SUBMIT)
    )
    job_id: str = (await accepted.json())["job_id"]
    return job_id


async def number_of_jobs(client: Client) -> int:
    return sum((await store_of(client).counts()).values())


ADDRESSES = (f"192.0.{number // 250}.{1 + number % 250}" for number in count())
"""Addresses from which no request has come yet."""


WRONG: dict[str, Headers] = {
    "none": {},
    "wrong": by("asgard_01234567_" + "A" * 43),
    "empty": by(""),
    "another scheme": {"Authorization": "Negotiate abc"},
    "basic that is no base64": {"Authorization": "Basic ????"},
    "basic": {"Authorization": "Basic " + b64encode(b"admin:admin").decode()},
    "query alone": {},
    "subprotocol": {"Sec-WebSocket-Protocol": "asgard.bearer.nonsense"},
}


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", PATHS)
async def test_requests_without_a_token_are_rejected(shared_closed: Client, path: str) -> None:
    jobs = await number_of_jobs(shared_closed)
    for verb in VERBS:
        response = await shared_closed.request(verb, filled(path), json=submission("print()"))
        if path.startswith("/health/"):
            assert response.status in {200, 405}
        elif verb == "HEAD":
            assert response.status == 401
        else:
            document = await problem(response, 401)
            assert "asgard token create" in document["detail"]
            assert response.headers["WWW-Authenticate"].startswith("Bearer ")
            assert "Basic " in response.headers["WWW-Authenticate"]
    assert await number_of_jobs(shared_closed) == jobs


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
async def test_requests_with_a_wrong_token_are_rejected(
    shared_closed: Client, endless: str, headers: Headers
) -> None:
    """Every route and method of an existing job, and its WebSocket."""
    jobs = await number_of_jobs(shared_closed)
    for path in PATHS:
        url = f"{filled(path, job_id=endless)}?token=x&access_token=x"
        for verb in VERBS:
            by_another = headers | {"X-Forwarded-For": next(ADDRESSES)}
            response = await shared_closed.request(
                verb, url, json=submission("print()"), headers=by_another
            )
            if path.startswith("/health/"):
                assert response.status in {200, 405, 422}
            elif verb == "HEAD":
                assert response.status == 401, path
            else:
                await problem(response, 401)
        if not path.startswith("/health/"):
            with pytest.raises(WSServerHandshakeError) as refused:
                await shared_closed.ws_connect(
                    url, headers=headers | {"X-Forwarded-For": next(ADDRESSES)}
                )
            assert refused.value.status == 401, path
    assert await number_of_jobs(shared_closed) == jobs
    assert (await store_of(shared_closed).get(endless)).phase is not Phase.FINISHED


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_a_revoked_token_is_rejected(shared_closed: Client) -> None:
    tokens = tokens_of(shared_closed)
    revoked, other = bearer(shared_closed, Scope.ADMIN), bearer(shared_closed, Scope.ADMIN)
    tokens.revoke(tokens.all()[-2].id)
    secret, another = (one["Authorization"].split()[1] for one in (revoked, other))
    with_another_id = by(another[:16] + secret[16:])
    for headers in (revoked, with_another_id, by(another[:-1])):
        for path in PATHS:
            if not path.startswith("/health/"):
                address = {"X-Forwarded-For": next(ADDRESSES)}
                response = await shared_closed.get(filled(path), headers=headers | address)
                await problem(response, 401)
    assert (await shared_closed.get("/mlops/status", headers=other)).status == 200


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_every_way_to_send_a_token_is_accepted(shared_closed: Client) -> None:
    headers = bearer(shared_closed, Scope.READ)
    secret = headers["Authorization"].split()[1]
    basic = "Basic " + b64encode(f"anybody:{secret}".encode()).decode()
    for credentials in (
        headers,
        {"authorization": f"bearer  {secret}"},
        {"Authorization": basic},
        {"Sec-WebSocket-Protocol": f"asgard.logs, asgard.bearer.{secret}"},
    ):
        assert (await shared_closed.get("/mlops/status", headers=credentials)).status == 200


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_an_insufficient_scope_is_403(shared_closed: Client) -> None:
    async def status(scope: Scope, verb: str, path: str) -> int:
        response = await shared_closed.request(
            verb, path, headers=bearer(shared_closed, scope), json={}
        )
        if response.status == 403:
            document = await problem(response, 403)
            assert f"has the scope '{scope}'" in document["detail"]
        return response.status

    job = f"/mlops/training/jobs/{JOB}"
    for verb, path in (("POST", UPLOAD), ("POST", f"{job}/cancel"), ("POST", f"{job}/retry")):
        assert await status(Scope.READ, verb, path) == 403
        assert await status(Scope.SUBMIT, verb, path) in {404, 422}
    assert await status(Scope.READ, "DELETE", job) == 403
    assert await status(Scope.SUBMIT, "DELETE", job) == 404
    assert await status(Scope.READ, "GET", job) == 404
    assert await status(Scope.SUBMIT, "POST", "/mlops/registry") == 403
    assert await status(Scope.ADMIN, "POST", "/mlops/registry") == 422


@pytest.mark.service
async def test_jobs_and_audit_log_name_the_token(closed: Client, tmp_path: Path) -> None:
    headers = bearer(closed, Scope.SUBMIT)
    name = tokens_of(closed).all()[-1].name
    accepted = await closed.post(UPLOAD, json=submission("print()"), headers=headers)
    job_id = (await accepted.json())["job_id"]
    path = f"/mlops/training/jobs/{job_id}"
    assert (await (await closed.get(path, headers=headers)).json())["submitted_by"] == name
    await closed.post(f"{path}/cancel", headers=headers | {"X-Request-ID": "abc"})
    await closed.delete(f"/mlops/training/jobs/{JOB}", headers=headers)
    await closed.post(UPLOAD, json={}, headers=bearer(closed, Scope.READ))
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    denied = lines.pop()
    assert (denied["action"], denied["reason"]) == ("denied", "scope-too-small")
    assert [(line["action"], line["of"], line["status"]) for line in lines] == [
        ("upload", None, 202),
        ("cancel", job_id, 202),
        ("delete_job", JOB, 404),
    ]
    assert lines[0]["made"] == path
    assert {line["token"] for line in lines} == {name}
    assert lines[1]["request_id"] == "abc"
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.service
async def test_failures_throttle_an_address_but_valid_tokens_pass(closed: Client) -> None:
    wrong = by("asgard_01234567_" + "A" * 43)
    for _ in range(20):
        await problem(await closed.get("/mlops/status", headers=wrong), 401)
    await problem(await closed.get("/mlops/status", headers=wrong), 429)
    assert (await closed.get("/mlops/status", headers=bearer(closed, Scope.READ))).status == 200
    await problem(await closed.get("/mlops/status"), 401)


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_idempotency_keys_are_scoped_to_the_token(shared_closed: Client) -> None:
    ids = set()
    for _ in range(2):
        headers = bearer(shared_closed, Scope.SUBMIT) | {"Idempotency-Key": "k"}
        response = await shared_closed.post(UPLOAD, json=submission("print()"), headers=headers)
        assert response.status == 202
        ids.add((await response.json())["job_id"])
    assert len(ids) == 2


@pytest.mark.service
async def test_a_damaged_token_file_rejects_every_request(
    closed: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headers, file = bearer(closed, Scope.ADMIN), tmp_path / "tokens.json"
    sound = file.read_bytes()
    for damaged in (b"[", b'[{"id": "\xff"}]', sound[:-20]):
        file.write_bytes(damaged)
        for credentials in ({}, headers):
            document = await problem(await closed.get("/mlops/status", headers=credentials), 503)
            assert "An administrator must fix it" in document["detail"]
            assert str(tmp_path) not in json.dumps(document)
            response = await closed.post(UPLOAD, json=submission("print()"), headers=credentials)
            await problem(response, 503)
        document = await problem(await closed.get("/health/ready"), 503)
        assert "tokens.json" in document["reasons"][0]
        assert (await closed.get("/health/live")).status == 200
    assert sum((await store_of(closed).counts()).values()) == 0
    assert [r.levelname for r in caplog.records if "all requests are rejected" in r.message] == [
        "ERROR"
    ]
    file.write_bytes(sound)
    assert (await closed.get("/mlops/status", headers=headers)).status == 200
    assert (await closed.get("/health/ready")).status == 200


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_a_websocket_authenticates_by_subprotocol(shared_closed: Client) -> None:
    headers = bearer(shared_closed, Scope.SUBMIT)
    accepted = await shared_closed.post(UPLOAD, json=submission("print()"), headers=headers)
    path = (await accepted.json())["links"]["stream"]
    secret = f"asgard.bearer.{headers['Authorization'].split()[1]}"
    for offered, agreed in (((secret,), secret), ((secret, "asgard.logs"), "asgard.logs")):
        async with shared_closed.ws_connect(path, protocols=offered) as ws:
            assert ws.protocol == agreed
            assert (await ws.receive_json())["type"] == "status"
    for wrong in ((), ("asgard.logs",), (secret[:-1],)):
        with pytest.raises(WSServerHandshakeError) as refused:
            await shared_closed.ws_connect(path, protocols=wrong)
        assert refused.value.status == 401
