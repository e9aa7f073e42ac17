"""Revoking a token closes its log streams and no others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError

from asgard_async.auth.token import Scope
from asgard_async.core.timestamps import now
from tests.support.api_service import ENDLESS, bearer, running, service_config, submit, tokens_of
from tests.support.app_server import Client
from tests.support.eventually import DEADLINE_SECONDS, eventually
from tests.support.log_stream_client import Stream, stream_path

pytestmark = pytest.mark.service

SAYS_ON = "import time\nwhile True:\n    print('on', flush=True)\n    time.sleep(0.05)\n"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(service_config(tmp_path)) as client:
        yield client
        # the client looks for running jobs on exit, which must not need a token
        (tmp_path / "tokens.json").unlink(missing_ok=True)


async def assert_sent_away(stream: Stream) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):  # pings reset the socket's own timeout
        while await stream.frame() is not None:
            pass
    assert stream.socket.close_code == 1008


async def test_revoking_a_token_closes_only_its_streams(api: Client) -> None:
    job_id = (await submit(api, SAYS_ON))["job_id"]
    tokens, stays = tokens_of(api), bearer(api, Scope.READ)
    gone = tokens.create(name="gone", scope=Scope.ADMIN, at=now()).secret
    by_gone, path = {"Authorization": f"Bearer {gone}"}, stream_path(job_id)
    async with (
        api.ws_connect(path, protocols=(f"asgard.bearer.{gone}",)) as one,
        api.ws_connect(path, headers=stays) as other,
        api.get(path.removesuffix("/ws") + "?follow=true", headers=by_gone) as followed,
        api.get(path.removesuffix("/ws") + "?follow=true", headers=stays) as still,
    ):
        streams = Stream(one, 0), Stream(other, 0)
        for stream in streams:
            await stream.says("on\n")
        for answer in (followed, still):
            assert (await answer.content.readline()) == b"on\n"
        tokens.revoke("gone")
        await assert_sent_away(streams[0])
        with pytest.raises(ClientPayloadError):  # the response has no end
            await followed.read()
        length = streams[1].offset
        while streams[1].offset < length + 30:
            assert await streams[1].frame() is not None
        assert (await still.content.readline()) == b"on\n"
        assert not still.content.at_eof()


async def test_revoking_a_token_closes_silent_streams_too(api: Client) -> None:
    job_id = (await submit(api, ENDLESS))["job_id"]
    tokens = tokens_of(api)
    headers = bearer(api, Scope.READ)
    async with api.ws_connect(stream_path(job_id), headers=headers) as socket:
        stream = Stream(socket, 0)
        await stream.until(phase="running")
        tokens.revoke(tokens.all()[0].id)
        await assert_sent_away(stream)


async def test_creating_the_first_token_closes_open_streams(api: Client) -> None:
    job_id = (await submit(api, ENDLESS))["job_id"]
    async with api.ws_connect(stream_path(job_id)) as socket:
        stream = Stream(socket, 0)
        await stream.until(phase="running")
        bearer(api, Scope.READ)
        await assert_sent_away(stream)


async def test_a_damaged_token_file_closes_no_stream(
    api: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = (await submit(api, SAYS_ON))["job_id"]
    headers, file = bearer(api, Scope.SUBMIT), tmp_path / "tokens.json"
    sound = file.read_bytes()
    async with api.ws_connect(stream_path(job_id), headers=headers) as socket:
        stream = Stream(socket, 0)
        await stream.says("on\n")
        file.write_bytes(b"[")
        # the background check notices it; no request is made
        await eventually(lambda: "all requests are rejected" in caplog.text, what="it is noticed")
        length = stream.offset
        while stream.offset < length + 100:
            assert await stream.frame() is not None
        file.write_bytes(sound)
