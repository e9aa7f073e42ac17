"""Log readers that disconnect abruptly, or do not read."""

import asyncio
import contextlib
import socket
import tracemalloc
from pathlib import Path

import pytest

from tests.support.api_service import finished, log_of, running, service_config, submit
from tests.support.eventually import eventually
from tests.support.raw_websocket import PING, RawSocket, frame
from tests.support.service import Service

pytestmark = pytest.mark.service

PINGS = frame(PING, b"there?") * 300


async def test_a_reader_gone_before_its_pongs_does_no_harm(service: Service) -> None:
    """It is removed at once, although the job prints nothing, so that no send can fail."""
    job_id = await service.submit("import time\ntime.sleep(600)")
    await service.phase(job_id, "running")
    for _ in range(20):
        reader = await RawSocket.connect(
            service.port, f"/mlops/training/jobs/{job_id}/logs/ws", "0"
        )
        assert await reader.document()
        reader.send(PINGS)
        reader.abort()

    async def nobody_reads() -> bool:
        _, metrics = await service.get("/metrics")
        return "asgard_log_readers 0.0" in metrics.splitlines()

    await eventually(nobody_reads, within=15, what="every reader is forgotten")
    service.assert_unharmed()


async def test_clients_that_do_not_read_take_little_memory(tmp_path: Path) -> None:
    """Each asks for 4 MiB of a log and reads nothing of the response."""
    config = service_config(tmp_path / "data")
    async with running(config) as client:
        job = await submit(client)
        await finished(client, job["job_id"])
        log_of(client, job["job_id"]).write_bytes(b"x" * (5 << 20))
        path = f"/mlops/training/jobs/{job['job_id']}/logs?offset=1&limit={4 << 20}"
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        tracemalloc.start()
        try:
            with contextlib.ExitStack() as stack:
                for _ in range(60):
                    sock = stack.enter_context(socket.socket())
                    sock.setblocking(False)
                    loop = asyncio.get_running_loop()
                    await loop.sock_connect(sock, (client.host, client.port))
                    await loop.sock_sendall(sock, request)
                # answered after the others, or at the same time
                async with client.get(path) as response:
                    assert await response.content.readexactly(1) == b"x"
                assert tracemalloc.get_traced_memory()[1] < 150 << 20
        finally:
            tracemalloc.stop()
        response = await client.get(path)
        assert response.content_length == 4 << 20
        assert await response.read() == b"x" * (4 << 20)
        assert response.headers["X-Log-Next-Offset"] == str(1 + (4 << 20))
