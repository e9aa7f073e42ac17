"""Responses without a handler: malformed HTTP, unknown expectations, internal errors."""

import asyncio
import contextlib
import json
import logging
import socket

import pytest
from aiohttp import web

from asgard_async.api.http import connections
from asgard_async.api.http.bodies import IncomingBodies
from asgard_async.api.http.json_body import read_body
from tests.support.app_server import Client, edge, serving
from tests.support.service import submission

HEADERS = b"Host: x\r\nConnection: close\r\n"

MALFORMED = {
    "garbage": b"GARBAGE\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a version that does not exist": b"GET / HTTP/9.9\r\n\r\n",
    "a method that does not exist": b"FOO / HTTP/1.1\r\n" + HEADERS + b"\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "a header with a space": b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
    "a long address": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": b"POST / HTTP/1.1\r\nContent-Length: -2\r\n\r\n{}",
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "no address": b"GET http://[::1 HTTP/1.1\r\n\r\n",
}


async def exchange(client: Client, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and read the response until the server closes."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize("request_bytes", [*MALFORMED.values()], ids=[*MALFORMED])
async def test_invalid_http_is_answered_with_a_problem(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(edge()) as client:
        status, headers, body = await exchange(client, request_bytes)
    assert status == 400
    assert headers["Content-Type"] == "application/problem+json"
    document = json.loads(body)
    assert document["detail"] == "The request is not valid HTTP."
    assert document["request_id"] == headers["X-Request-ID"]
    assert "aiohttp" not in headers["Server"]
    # any client can cause this, so it must not fill the log
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_an_unknown_expectation_is_answered_with_a_problem() -> None:
    request = b"POST / HTTP/1.1\r\nExpect: wonders\r\nContent-Length: 0\r\n" + HEADERS + b"\r\n"
    async with serving(edge()) as client:
        status, headers, body = await exchange(client, request)
    assert status == 417
    assert json.loads(body)["request_id"] == headers["X-Request-ID"]


async def test_a_handler_without_a_response_is_500(caplog: pytest.LogCaptureFixture) -> None:
    async def nothing(request: web.Request) -> web.StreamResponse:
        return None  # type: ignore[return-value]  # the error under test

    async with serving(edge(web.get("/", nothing))) as client:
        assert (await client.get("/")).status == 500
    assert [record for record in caplog.records if record.levelno == logging.ERROR]


async def test_an_aborted_request_body_is_not_a_server_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        begun.set()
        try:
            await read_body(
                request, IncomingBodies(total_bytes=1000, min_rate=1), max_bytes=1000, seconds=10
            )
        finally:
            ended.set()
        return web.Response()

    async with serving(edge(web.post("/", handler))) as client:
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n" + HEADERS + b"\r\n{")
        await asyncio.wait_for(begun.wait(), 10)
        writer.close()
        await asyncio.wait_for(ended.wait(), 10)
    # any client can cause this, so it must not fill the log
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    "target",
    [
        b"/mlops/training/jobs/\xff\xfe",
        b"/mlops/training/jobs/\xed\xa0\x80/logs",
        b"/mlops/training/jobs?model_name=\xff",
        b"/mlops/training/jobs?\xff=1",
        b"/mlops/training/jobs?cursor=\xed\xa0\x80",
        b"/mlops/models/\xff",
        b"/\xff",
    ],
)
async def test_raw_bytes_in_a_path_are_not_a_server_error(
    shared_api: Client, target: bytes
) -> None:
    status, headers, body = await exchange(
        shared_api, b"GET " + target + b" HTTP/1.1\r\n" + HEADERS + b"\r\n"
    )
    assert 400 <= status < 500
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize("name", [b"X-Request-ID", b"Idempotency-Key", b"Content-Type", b"Host"])
async def test_raw_bytes_in_a_header_are_not_a_server_error(
    shared_api: Client, name: bytes
) -> None:
    body = json.dumps(submission("print()")).encode()
    headers = {
        b"Host": b"localhost",
        b"Content-Type": b"application/json",
        name: b"\xff\xed\xa0\x80",
    }
    head = b"".join(key + b": " + value + b"\r\n" for key, value in headers.items())
    length = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    status, _, _ = await exchange(
        shared_api, b"POST /mlops/training/upload HTTP/1.1\r\n" + head + length + body
    )
    assert status in {202, 400, 403, 415, 422}


async def received_by(sock: socket.socket, size: int) -> int:
    """Read up to a number of bytes or the end; return how many there were."""
    received = 0
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            while received < size and (
                piece := await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
            ):
                received += len(piece)
    return received


async def test_unread_responses_have_a_bound_in_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNREAD_BYTES", 100 << 20)
    size = 16 << 20

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    loop = asyncio.get_running_loop()
    async with serving(edge(web.get("/", large))) as client:
        with contextlib.ExitStack() as stack:
            sockets = []
            for _ in range(12):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                await loop.sock_connect(sock, (client.host, client.port))
                await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                sockets.append(sock)
                # a client that reads gets everything
                response = await client.get("/")
                assert len(await response.read()) == size
            # the first ones are disconnected, the last ones may still read
            assert await received_by(sockets[0], size) < size
            assert await received_by(sockets[-1], size) >= size
