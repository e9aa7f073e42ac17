"""Bounds on bodies: their size, packed and unpacked, alone and together."""

import asyncio
import gzip
import os
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from asgard_async.mlflow.server.application import GuardedApplication, ServerSettings, protection_of
from asgard_async.mlflow.server.asgi import Message, Receive, Scope, Send
from asgard_async.mlflow.server.attempt_token import Caller, sign
from asgard_async.mlflow.server.bodies import CONCURRENT_BODIES
from asgard_async.mlflow.server.usage import Usage
from tests.support.eventually import eventually

MAX = 1 << 20
KEY = b"key"
JOB = "0123abcd"
TRACES, CREATE = "/v1/traces", "/api/2.0/mlflow/runs/create"


class Mlflow:
    """The middleware, and an application behind it that buffers bodies as MLflow does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bodies: list[bytes] = []
        self.proceeds = asyncio.Event()
        self.proceeds.set()
        settings = ServerSettings(
            artifacts=str(directory),
            server_id="server",
            key=KEY.hex(),
            max_body_bytes=MAX,
            max_stored_bytes=0,
            min_free_bytes=0,
        )
        self._app = GuardedApplication(
            self._buffer, settings, protection=protection_of(settings), store=directory
        )

    async def _buffer(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert not [name for name, _ in scope["headers"] if name == b"content-encoding"]
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body += message["body"]
            has_more = message["more_body"]
        self.bodies.append(body)
        await self.proceeds.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def post(self, path: str, *pieces: bytes, encoding: str = "") -> tuple[int, str]:
        """Send a body in pieces; return the response's status and text."""
        sent: list[Message] = []
        messages: Sequence[Message] = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]
        remaining = iter(messages)

        async def receive() -> Message:
            return next(remaining)

        async def send(message: Message) -> None:
            sent.append(message)

        token = sign(KEY, Caller(job_id=JOB, expires_at=1 << 40))
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
        if encoding:
            headers.append((b"content-encoding", encoding.encode()))
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        await self._app(scope, receive, send)
        return sent[0]["status"], sent[1]["body"].decode()

    def close(self) -> int:
        """Stop; return the bytes of records that are counted for the job."""
        self._app.close()
        usage = Usage(self.directory / "usage.db")
        try:
            return usage.record_bytes(JOB)
        finally:
            usage.close()


@pytest.fixture
async def mlflow(tmp_path: Path) -> Mlflow:
    return Mlflow(tmp_path)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_a_packed_body_reaches_mlflow_unpacked(
    mlflow: Mlflow, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(b"spans" * 1000)
    pieces = packed[:10], packed[10:]
    assert (await mlflow.post(TRACES, *pieces, encoding=encoding))[0] == 200
    assert mlflow.bodies == [b"spans" * 1000]


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("pieces", [1, 100])
async def test_a_body_may_have_the_maximum_size(mlflow: Mlflow, encoding: str, pieces: int) -> None:
    for excess, status in ((0, 200), (1, 413)):
        body = os.urandom(1000) + bytes(MAX + excess - 1000)
        if encoding:
            body = gzip.compress(body)
        step = len(body) // pieces + 1
        parts = [body[start : start + step] for start in range(0, len(body), step)]
        response = await mlflow.post(TRACES, *parts, encoding=encoding)
        assert response[0] == status
        assert ("max_body_bytes" in response[1]) == (status == 413)
    assert [len(body) for body in mlflow.bodies] == [MAX]


async def test_a_tightly_packed_piece_takes_little_memory(mlflow: Mlflow) -> None:
    bomb = gzip.compress(bytes(64 * MAX))
    assert len(bomb) < MAX // 8
    tracemalloc.start()
    try:
        assert (await mlflow.post(TRACES, bomb, encoding="gzip"))[0] == 413
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX
    assert mlflow.bodies == []


@pytest.mark.parametrize(
    ("path", "encoding", "status"),
    [
        (CREATE, "gzip", 415),  # which MLflow would not unpack
        ("/graphql", "gzip", 415),
        (TRACES, "zstd", 415),
        (TRACES, "gzip, gzip", 415),
        (TRACES, "gzip", 400),
    ],
)
async def test_other_packed_bodies_are_refused(
    mlflow: Mlflow, path: str, encoding: str, status: int
) -> None:
    assert (await mlflow.post(path, b"no gzip", encoding=encoding))[0] == status
    assert mlflow.bodies == []


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_bodies_in_memory_have_a_bound_together(mlflow: Mlflow, encoding: str) -> None:
    body = gzip.compress(bytes(MAX)) if encoding else bytes(MAX)
    mlflow.proceeds.clear()
    posts = [
        asyncio.create_task(mlflow.post(TRACES, body, encoding=encoding))
        for _ in range(2 * CONCURRENT_BODIES)
    ]
    await eventually(
        lambda: len(mlflow.bodies) + sum(post.done() for post in posts) == len(posts),
        what="all are buffered or refused",
    )
    assert len(mlflow.bodies) <= CONCURRENT_BODIES
    mlflow.proceeds.set()
    assert {status for status, _ in await asyncio.gather(*posts)} == {200, 503}
    # what has been processed takes no space
    assert (await mlflow.post(TRACES, body, encoding=encoding))[0] == 200


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_records_count_as_mlflow_receives_them(mlflow: Mlflow, encoding: str) -> None:
    body = bytes(MAX // 2)
    packed = gzip.compress(body) if encoding else body
    assert (await mlflow.post(TRACES, packed, encoding=encoding))[0] == 200
    assert mlflow.close() >= len(body)
