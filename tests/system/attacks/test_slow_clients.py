"""The deadlines of [http] disconnect clients that send or read too slowly."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.raw_http import connected, status_of, until_closed
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = {
    **WITHOUT_MLFLOW,
    "ASGARD_WARM__ENABLED": "false",
    "ASGARD_HTTP__IDLE_SECONDS": "600",
    "ASGARD_HTTP__HEADER_SECONDS": "1",
    "ASGARD_HTTP__BODY_SECONDS": "1",
    "ASGARD_HTTP__UPLOAD_SECONDS": "1",
    "ASGARD_HTTP__STALLED_CLIENT_SECONDS": "1",
    "ASGARD_LOGS__STALLED_READER_SECONDS": "600",
}
UPLOAD = b"POST /mlops/training/upload HTTP/1.1\r\nHost: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=b\r\n"
LENGTH, CHUNKED = b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="script"; filename="a.py"\r\n\r\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with running_service(tmp_path_factory.mktemp("impatient") / "data", SETTINGS) as service:
        yield service


HEADERS = {
    "header": (b"GET /mlops/status HTTP/1.1\r\n", b"X-A: b\r\n"),
    "request line": (b"GET /mlops/sta", b"t"),
    "empty lines": (b"\r\n", b"\r\n"),
    "silence": (b"GET /mlops/status HTTP/1.1\r\nX-A: b", b""),
}
BODIES = {
    "json": (UPLOAD + JSON + LENGTH, b" "),
    "silence": (UPLOAD + JSON + LENGTH, b""),
    "json in chunks": (UPLOAD + JSON + CHUNKED, b"1\r\n \r\n"),
    "form": (UPLOAD + FORM + LENGTH + PART, b"#"),
    "form in chunks": (UPLOAD + FORM + CHUNKED, b"1\r\n \r\n"),
    "registry": (UPLOAD.replace(b"training/upload", b"registry") + JSON + LENGTH, b" "),
}
UNREAD = {
    verb: (f"{verb} HTTP/1.1\r\nHost: localhost\r\n".encode() + JSON + LENGTH, b" ")
    for verb in ("GET /mlops/status", "DELETE /mlops/training/jobs/0123abcd")
}


async def statuses_of(
    service: Service, clients: Mapping[str, tuple[bytes, bytes]]
) -> dict[str, int]:
    """Let slow clients begin and send their pieces, all at once; return each one's response."""

    async def status(begin: bytes, piece: bytes) -> int:
        async with connected(service) as (reader, writer):
            writer.write(begin)
            return status_of(await until_closed(reader, writer, piece))

    answers = await asyncio.gather(*(status(*client) for client in clients.values()))
    return dict(zip(clients, answers, strict=True))


async def test_a_trickling_header_is_disconnected(impatient: Service) -> None:
    before = impatient.log.read_text()
    answers = await statuses_of(impatient, HEADERS)
    assert set(answers.values()) <= {0, 400}, answers
    assert "HTTP/1.1" not in impatient.log.read_text().removeprefix(before)


async def test_a_trickling_body_is_disconnected(impatient: Service) -> None:
    answers = await statuses_of(impatient, BODIES)
    assert set(answers.values()) <= {0, 408}, answers


async def test_an_unread_body_is_disconnected(impatient: Service) -> None:
    answers = await statuses_of(impatient, UNREAD)
    assert set(answers.values()) <= {200, 404}, answers


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    settings = {**WITHOUT_MLFLOW, "ASGARD_WARM__ENABLED": "false", "ASGARD_HTTP__IDLE_SECONDS": "1"}
    async with (
        running_service(tmp_path / "data", settings) as service,
        connected(service) as (reader, writer),
    ):
        assert await until_closed(reader, writer) == b""


async def test_a_client_that_stops_reading_is_disconnected(impatient: Service) -> None:
    """An Upgrade header that the service ignores does not lift the deadline."""
    job_id = await impatient.submit("print('x' * 9_000_000)")
    await impatient.finished(job_id)
    begin = f"GET /mlops/training/jobs/{job_id}/logs HTTP/1.1\r\nHost: localhost\r\n".encode()

    def disconnected() -> int:
        return impatient.log.read_text().count("client stopped reading the response")

    known = disconnected()
    async with contextlib.AsyncExitStack() as held:
        for extra in (b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"):
            reader, writer = await held.enter_async_context(connected(impatient))
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # as a stalled client does
            with contextlib.suppress(ConnectionError):
                writer.write(begin + extra + b"\r\n")
                await writer.drain()
        await eventually(lambda: disconnected() == known + 2, what="both are disconnected")
