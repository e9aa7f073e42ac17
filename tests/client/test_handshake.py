"""A token is sent only to a server that proves that it knows the token."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from asgard_async.auth.token import NewToken, Scope
from asgard_async.client import AsgardError, AsyncAsgardClient, ConnectionFailed, Unauthorized
from asgard_async.client.handshake import _is_relayed
from asgard_async.core.timestamps import now
from tests.support.api_service import get_json, running, service_config, tokens_of
from tests.support.app_server import Client
from tests.support.mlflow_servers import serving
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.service

SECRET = NewToken.draw(name=None, scope=Scope.ADMIN, at=now()).secret


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(service_config(tmp_path / "data")) as client:
        yield client


def url_of(api: Client) -> str:
    return str(api.make_url("")).rstrip("/")


async def test_the_service_proves_that_it_knows_a_token(api: Client) -> None:
    secret = tokens_of(api).create(name=None, scope=Scope.ADMIN, at=now()).secret
    try:
        async with AsyncAsgardClient(url_of(api), token=secret) as client:
            assert (await client.status()).asgard_api == "accessible"
        with_password = url_of(api).replace("://", f"://user:{secret}@")
        async with AsyncAsgardClient(with_password, token="") as client:
            assert (await client.status()).asgard_api == "accessible"
        async with AsyncAsgardClient(url_of(api), token=SECRET) as client:
            with pytest.raises(Unauthorized, match="does not know this token"):
                await client.status()
    finally:
        tokens_of(api)._file.unlink()


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.json_response({}, status=404),
        lambda: web.json_response({"status": "live"}),
        lambda: web.json_response({"instance": "a", "address": "127.0.0.1 1", "proof": "0" * 64}),
        lambda: web.json_response({"instance": "a", "address": "", "proof": "ü\ud800"}),
        lambda: web.json_response({"instance": "a", "address": "127.0.0.1 1", "proof": None}),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.Response(body=b"x" * 1_000_000),
    ],
)
async def test_an_impostor_never_sees_the_token(answer: Callable[[], web.Response]) -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.raw_path} {dict(request.headers)}")
        return answer()

    async with serving(handle) as url, AsyncAsgardClient(url, token=SECRET, retry_for=0) as client:
        with pytest.raises(AsgardError, match="not sent"):
            await client.status()
        with pytest.raises(AsgardError):
            [line async for line in client.follow("0123abcd")]
    assert seen
    assert not any(SECRET[16:] in text or "Authorization" in text for text in seen)


async def test_a_stopped_service_is_reported_as_not_reached() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with serving(handle) as url, AsyncAsgardClient(url, token=SECRET, retry_for=0) as client:
        with pytest.raises(ConnectionFailed, match="stopped or starting") as caught:
            await client.status()
        assert not caught.value.sent


async def test_a_relay_on_the_other_loopback_address_is_refused(api: Client) -> None:
    secret = tokens_of(api).create(name=None, scope=Scope.ADMIN, at=now()).secret
    relay = Relay(api.port or 0)

    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("IPv6 is missing here")
    server = await asyncio.start_server(relay.handle, "::1", api.port)
    try:
        async with AsyncAsgardClient(f"http://[::1]:{api.port}", token=secret) as client:
            with pytest.raises(AsgardError, match="not sent"):
                await client.status()
    finally:
        server.close()
        tokens_of(api)._file.unlink()


def test_tunnels_and_proxies_are_not_relays() -> None:
    assert _is_relayed("127.0.0.1 8000", "::1", 8000)
    assert _is_relayed("127.0.0.1 8000", "127.0.0.2", 8000)
    assert not _is_relayed("127.0.0.1 8000", "127.0.0.1", 8000)
    assert not _is_relayed("127.0.0.1 8000", "127.0.0.1", 9000)  # ssh -L 9000:127.0.0.1:8000
    assert not _is_relayed("10.0.0.5 8000", "192.0.2.1", 80)  # a proxy


async def test_a_client_talks_only_to_its_instance(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = (await get_json(api, "/health/instance"))["instance"]
    async with AsyncAsgardClient(url_of(api), instance=instance) as client:
        assert (await client.status()).asgard_api == "accessible"
    monkeypatch.setenv("ASGARD_INSTANCE", "0" * 32)
    async with AsyncAsgardClient(url_of(api)) as client:
        with pytest.raises(AsgardError, match="another Asgard"):
            await client.status()
