"""The deadlines of [http] disconnect clients that send or read too slowly."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.raw_http import connected, status_of, until_closed
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = {
    **WITHOUT_MLFLOW,
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


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /mlops/status HTTP/1.1\r\n", b"X-A: b\r\n"),
        (b"GET /mlops/sta", b"t"),
        (b"\r\n", b"\r\n"),
        (b"GET /mlops/status HTTP/1.1\r\nX-A: b", b""),
    ],
    ids=["header", "request line", "empty lines", "silence"],
)
async def test_a_trickling_header_is_disconnected(
    impatient: Service, begin: bytes, piece: bytes
) -> None:
    before = impatient.log.read_text()
    async with connected(impatient) as (reader, writer):
        writer.write(begin)
        assert status_of(await until_closed(reader, writer, piece)) in {0, 400}
    assert "HTTP/1.1" not in impatient.log.read_text().removeprefix(before)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (UPLOAD + JSON + LENGTH, b" "),
        (UPLOAD + JSON + LENGTH, b""),
        (UPLOAD + JSON + CHUNKED, b"1\r\n \r\n"),
        (UPLOAD + FORM + LENGTH + PART, b"#"),
        (UPLOAD + FORM + CHUNKED, b"1\r\n \r\n"),
        (UPLOAD.replace(b"training/upload", b"registry") + JSON + LENGTH, b" "),
    ],
    ids=["json", "silence", "json in chunks", "form", "form in chunks", "registry"],
)
async def test_a_trickling_body_is_disconnected(
    impatient: Service, begin: bytes, piece: bytes
) -> None:
    async with connected(impatient) as (reader, writer):
        writer.write(begin)
        assert status_of(await until_closed(reader, writer, piece)) in {0, 408}


@pytest.mark.parametrize("verb", [b"GET /mlops/status", b"DELETE /mlops/training/jobs/0123abcd"])
async def test_an_unread_body_is_disconnected(impatient: Service, verb: bytes) -> None:
    async with connected(impatient) as (reader, writer):
        writer.write(verb + b" HTTP/1.1\r\nHost: localhost\r\n" + JSON + LENGTH)
        assert status_of(await until_closed(reader, writer, b" ")) in {200, 404}


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    settings = {**WITHOUT_MLFLOW, "ASGARD_HTTP__IDLE_SECONDS": "1"}
    async with (
        running_service(tmp_path / "data", settings) as service,
        connected(service) as (reader, writer),
    ):
        assert await until_closed(reader, writer) == b""


@pytest.mark.parametrize("extra", [b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"])
async def test_a_client_that_stops_reading_is_disconnected(
    impatient: Service, extra: bytes
) -> None:
    """An Upgrade header that the service ignores does not lift the deadline."""
    job_id = await impatient.submit("print('x' * 9_000_000)")
    await impatient.finished(job_id)
    path = f"/mlops/training/jobs/{job_id}/logs".encode()
    async with connected(impatient) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # as a stalled client does
        request = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + extra + b"\r\n"
        known = impatient.log.read_text().count("client stopped reading the response")
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        await eventually(
            lambda: impatient.log.read_text().count("client stopped reading the response") > known,
            what="the client is disconnected",
        )
