"""Many connections, large bodies and slow checks do not block other clients."""

import asyncio
import contextlib
import io
import json
import resource
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.raw_http import connected, status_of, until_closed
from tests.support.service import WITHOUT_MLFLOW, Service, running_service, submission

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

MUCH_SECONDS = 5.0
"""The limit for other requests, which take a hundredth of it on an idle machine."""
FEW_BYTES = 4096
READERS_PER_ADDRESS = 50
UPLOAD = "/mlops/training/upload"
SLOW_TO_COMPILE = "x = 1\n" * 120_000


@pytest.fixture
def many_files() -> Iterator[None]:
    """Raise the open files limit of this process for a thousand sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(hard, 4096))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# the imports of a fork server would disturb the measurement on a small machine
SETTINGS = {**WITHOUT_MLFLOW, "ASGARD_WARM__ENABLED": "false"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with running_service(tmp_path_factory.mktemp("service") / "data", SETTINGS) as service:
        yield service


async def open_sockets(
    service: Service, count: int, held: contextlib.ExitStack, *, address: str = "127.0.0.1"
) -> list[socket.socket]:
    """Open silent connections from an address, with small receive buffers."""
    loop, opened = asyncio.get_running_loop(), []
    for _ in range(count):
        one = held.enter_context(socket.socket())
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW_BYTES)
        one.bind((address, 0))
        await loop.sock_connect(one, ("127.0.0.1", service.port))
        opened.append(one)
    return opened


async def readers(service: Service, count: int) -> bool:
    """Return whether this many readers follow a log."""
    _, metrics = await service.get("/metrics")
    return f"\nasgard_log_readers {count}.0\n" in metrics


def has_got_some(one: socket.socket) -> bool:
    """Return whether part of the log has arrived: more than the headers and a status frame."""
    with contextlib.suppress(BlockingIOError):
        return len(one.recv(FEW_BYTES, socket.MSG_PEEK)) > FEW_BYTES // 2
    return False


async def assert_answers_quickly(service: Service) -> None:
    """Check the median: other load of the machine may delay one response."""
    taken = []
    for _ in range(5):
        began = time.monotonic()
        async with connected(service) as (reader, writer):
            writer.write(
                b"GET /mlops/training/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            assert status_of(await until_closed(reader, writer)) == 200
        taken.append(time.monotonic() - began)
    assert statistics.median(taken) < MUCH_SECONDS


async def test_a_thousand_idle_sockets_do_no_harm(service: Service, many_files: None) -> None:
    with contextlib.ExitStack() as held:
        await open_sockets(service, 1000, held)
        await assert_answers_quickly(service)


@pytest.mark.parametrize("stalled_readers", [100, pytest.param(900, marks=pytest.mark.soak)])
async def test_stalled_log_readers_do_no_harm(
    service: Service, many_files: None, stalled_readers: int
) -> None:
    """As many as all clients together may have, with no more per address than allowed.

    The log is complete, and a reader that has received all of it is no longer counted.
    """
    job_id = await service.submit("print(('x' * 99 + '\\n') * 20_000)")
    await service.finished(job_id)
    loop = asyncio.get_running_loop()
    request = (
        f"GET /mlops/training/jobs/{job_id}/logs/ws HTTP/1.1\r\nHost: localhost\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    with contextlib.ExitStack() as held:
        stalled = []
        for number in range(stalled_readers // READERS_PER_ADDRESS):
            address = f"127.0.0.{number + 2}"
            stalled += await open_sockets(service, READERS_PER_ADDRESS, held, address=address)
        for one in stalled:
            await loop.sock_sendall(one, request)
        await eventually(lambda: all(map(has_got_some, stalled)), what="all of them stall")
        await assert_answers_quickly(service)
        url = f"{service.url}/mlops/training/jobs/{job_id}/logs/ws"
        async with service.session.ws_connect(url) as ws:
            frames = [json.loads(message.data) async for message in ws]
        assert frames[-1]["type"] == "end"
        assert frames[-1]["offset"] == 2_000_001
        await eventually(partial(readers, service, stalled_readers), what="the others still stall")


async def test_busy_connections_beyond_the_limit_are_503(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ASGARD_HTTP__MAX_CONNECTIONS_PER_ADDRESS": "3"}
    async with (
        running_service(tmp_path / "data", settings) as service,
        contextlib.AsyncExitStack() as held,
    ):
        job_id = await service.submit("import time; time.sleep(600)")
        await service.phase(job_id, "running")
        for _ in range(3):
            reader, writer = await held.enter_async_context(connected(service))
            path = f"/mlops/training/jobs/{job_id}/logs?follow=true".encode()
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        async with connected(service) as (reader, writer):
            answer = await until_closed(reader, writer)
        assert status_of(answer) == 503
        assert b"\r\nRetry-After: " in answer
        assert b"\r\nContent-Security-Policy: " in answer


async def test_large_bodies_at_once_take_little_memory(tmp_path: Path) -> None:
    body = json.dumps(submission("#" * 1_000_000)).encode().ljust(4_100_000)
    headers = {"Content-Type": "application/json"}
    # its own service: one that was busy before has a higher peak already
    async with running_service(tmp_path / "data", SETTINGS) as service:
        before = peak_memory(service.pid)
        answers = await asyncio.gather(
            # as a stream: aiohttp warns about large bytes bodies
            *(service.post(UPLOAD, data=io.BytesIO(body), headers=headers) for _ in range(32))
        )
        assert {status for status, _ in answers} <= {202, 503}
        assert peak_memory(service.pid) - before < 100 << 20


async def test_the_queue_of_slow_script_checks_is_bounded(tmp_path: Path) -> None:
    settings = {
        **SETTINGS,
        "ASGARD_JOBS__SCRIPT_CHECK_SECONDS": "1",
        "ASGARD_JOBS__MAX_WAITING_CHECKS": "8",
    }
    async with running_service(tmp_path / "data", settings) as service:
        answers = await asyncio.gather(*(service.upload(SLOW_TO_COMPILE) for _ in range(30)))
        assert {status for status, _ in answers} <= {202, 422, 503}
        assert 503 in {status for status, _ in answers}
        assert (await service.upload("print()"))[0] == 202


def peak_memory(pid: int) -> int:
    """The peak resident memory in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


async def test_a_low_open_files_limit_is_reported_and_obeyed(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    launcher = ("sh", "-c", 'ulimit -n 300; exec "$@"', "sh")
    async with running_service(tmp_path / "data", SETTINGS, launcher) as service:
        assert "only 44 connections can be open" in service.log.read_text()
        with contextlib.ExitStack() as held:
            await open_sockets(service, 200, held)
            await assert_answers_quickly(service)
        assert "system resource" not in service.log.read_text()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


async def test_jobs_inherit_the_original_open_files_limit(tmp_path: Path) -> None:
    launcher = ("sh", "-c", 'ulimit -Sn 512; exec "$@"', "sh")
    async with running_service(tmp_path / "data", SETTINGS, launcher) as service:
        script = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
        job = await service.finished(await service.submit(script))
        assert job["logs"] == "512\n"
