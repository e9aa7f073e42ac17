"""Bounds on connections to the embedded MLflow, with a real uvicorn."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from asgard_async.mlflow.server.asgi import Receive, Scope, Send
from asgard_async.mlflow.server.connections import BoundedProtocol
from tests.support.eventually import eventually

MAX = 8
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class ImpatientProtocol(BoundedProtocol):
    max_connections = MAX
    header_seconds = 0.3


class PatientProtocol(BoundedProtocol):
    max_connections = MAX
    header_seconds = 60.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    while scope["path"] == "/slow" and (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def serving(protocol: type[BoundedProtocol]) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        yield listener.getsockname()[1]
        await server.shutdown()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened(port: int, sent: bytes = b"") -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


async def is_answered(connection: Connection) -> bool:
    reader, writer = connection
    with contextlib.suppress(OSError), contextlib.closing(writer):
        writer.write(REQUEST)
        return (await reader.readline()).startswith(b"HTTP/1.1 204")
    return False


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX: ", REQUEST + b"GET"])
async def test_a_connection_without_a_request_is_closed(sent: bytes) -> None:
    async with serving(ImpatientProtocol) as port:
        reader, writer = await opened(port, sent)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(10):
                while await reader.read(1000):
                    pass
        writer.close()


async def test_a_dribbling_header_gets_no_more_time() -> None:
    async with serving(ImpatientProtocol) as port:
        _, writer = await opened(port, b"GET / HTTP/1.1\r\nX: ")

        async def is_closed() -> bool:
            try:
                writer.write(b"x")
                await writer.drain()
            except OSError:
                return True
            return False

        await eventually(is_closed, what="the connection is closed")


async def test_idle_connections_make_room_for_new_ones() -> None:
    async with serving(PatientProtocol) as port:
        idle = [await opened(port) for _ in range(3 * MAX)]
        assert await is_answered(await opened(port))
        answers = [await is_answered(connection) for connection in idle]
        assert 0 < answers.count(True) <= MAX // 2


async def test_busy_connections_of_a_user_have_a_bound() -> None:
    async with serving(PatientProtocol) as port:
        request = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
        busy = [await opened(port, request) for _ in range(MAX // 2)]
        # the server has read a request by the time that it answers a later one
        assert not await is_answered(await opened(port))
        busy[0][1].close()

        async def is_answered_now() -> bool:
            return await is_answered(await opened(port))

        await eventually(is_answered_now, what="one more request is answered")
        for _, writer in busy:
            writer.close()
