"""Each private member of aiohttp that the server relies on, and what breaks without it."""

import ast
import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import web

from asgard_async.api.http import aiohttp_internals
from asgard_async.api.http.aiohttp_internals import (
    PRIVATE_MEMBERS,
    ObservableRequestHandler,
    ReplacingRunner,
)
from tests.support.app_server import Client, edge, serving
from tests.support.eventually import eventually

API = Path(aiohttp_internals.__file__).parents[1]
ROOT = Path(__file__).parents[3]


def private_names(*classes: type) -> set[str]:
    """The private attributes of aiohttp's classes, slots included."""
    names = {
        name
        for aiohttp_class in classes
        for kind in aiohttp_class.__mro__
        if kind.__module__.startswith("aiohttp.")
        for name in (*vars(kind), *getattr(kind, "__slots__", ()))
    }
    return {name for name in names if re.match(r"_[a-z]", name)}


@pytest.mark.parametrize("member", PRIVATE_MEMBERS)
def test_a_private_member_exists(member: str) -> None:
    class_name, _, name = member.partition(".")
    aiohttp_class: type = getattr(web, class_name)
    assert name in private_names(aiohttp_class), f"without it, {PRIVATE_MEMBERS[member]}"


def test_the_adapter_uses_the_listed_members_and_no_others() -> None:
    source = Path(aiohttp_internals.__file__).read_text("utf-8")
    private = private_names(web.AppRunner, web.Server, web.RequestHandler)
    used = set(re.findall(r"\b(_[a-z_]+)\b", source)) & private
    assert used == {member.partition(".")[2] for member in PRIVATE_MEMBERS}


def test_no_other_module_uses_private_members() -> None:
    private = private_names(web.AppRunner, web.Server, web.RequestHandler)
    accessed = {
        f"{node.attr} in {file.name}"
        for file in (API / "http" / "server.py", API / "http" / "runner.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in private
    }
    assert accessed == set()


def test_aiohttp_is_limited_to_tested_minor_versions() -> None:
    requirements = (ROOT / "setup.cfg").read_text("utf-8")
    assert re.search(r"^\s+aiohttp>=3[.\d]+,<3\.\d+$", requirements, re.MULTILINE)


async def test_the_runner_serves_with_the_replacing_server() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="replaced")

    class Replacing(ReplacingRunner):
        def replace_server(self, server: web.Server) -> web.Server:
            return web.Server(answer)

    runner = Replacing(web.Application())
    await runner.setup()
    try:
        assert runner.server is not None
        assert runner.server.request_handler is answer
    finally:
        await runner.cleanup()


async def test_a_connection_is_idle_before_and_after_a_request() -> None:
    started, may_end = asyncio.Event(), asyncio.Event()
    seen: list[ObservableRequestHandler] = []

    async def handler(request: web.Request) -> web.Response:
        assert isinstance(request.protocol, ObservableRequestHandler)
        seen.append(request.protocol)
        started.set()
        await may_end.wait()
        return web.Response()

    async with serving(edge(web.get("/", handler))) as client:
        loop = asyncio.get_running_loop()
        before = loop.time()
        reader, writer = await asyncio.open_connection(client.host, client.port)
        (connection,) = await connections(client)
        assert connection.idle_since is not None
        assert before <= connection.idle_since <= loop.time()
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await started.wait()
        assert seen == [connection]
        assert connection.idle_since is None
        answered = loop.time()
        may_end.set()
        await reader.readuntil(b"\r\n\r\n")
        await eventually(lambda: connection.idle_since is not None, what="it is idle again")
        assert connection.idle_since >= answered
        writer.close()


async def test_a_connection_is_busy_before_its_handler_starts() -> None:
    """Between parsing and the handler, a request is only in aiohttp's queue."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    async with serving(edge(web.get("/", handler))) as client:
        _, writer = await asyncio.open_connection(client.host, client.port)
        (connection,) = await connections(client)
        connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.idle_since is None
        writer.close()


@pytest.mark.parametrize("accepts", [True, False])
async def test_only_an_accepted_upgrade_is_a_websocket(accepts: bool) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert isinstance(request.protocol, ObservableRequestHandler)
        if accepts:
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            await ws.send_str(str(request.protocol.is_websocket))
            await ws.close()
            return ws
        return web.Response(text=str(request.protocol.is_websocket))

    async with serving(edge(web.get("/", handler))) as client:
        if accepts:
            async with client.ws_connect("/") as ws:
                assert (await ws.receive_str()) == "True"
        else:
            headers = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            }
            assert await (await client.get("/", headers=headers)).text() == "False"


async def connections(client: Client) -> list[ObservableRequestHandler]:
    runner = client.server.runner
    assert runner is not None
    server = runner.server
    assert server is not None
    await eventually(lambda: bool(server.connections), what="it is connected")
    return [one for one in server.connections if isinstance(one, ObservableRequestHandler)]
