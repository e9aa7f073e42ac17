"""Live logs of a service that is stopped, killed and restarted, or has greedy readers."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.support.eventually import eventually
from tests.support.log_stream_client import Stream, stream_path
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = [pytest.mark.service, pytest.mark.slow]

CHATTY = """
import os, time
n = 0
while not os.path.exists("enough"):
    print(n, "é" * (n % 40))
    n += 1
    time.sleep(0.001)
"""


def work_of(service: Service, job_id: str) -> Path:
    return service.data_dir / "jobs" / job_id / "attempts" / "1" / "work"


def log_of(service: Service, job_id: str) -> Path:
    return service.data_dir / "jobs" / job_id / "job.log"


async def read_until_closed(
    service: Service, job_id: str, offset: int, into: list[str]
) -> tuple[int, int | None]:
    """Read a stream until it ends; return the offset to resume at and the close code."""
    async with service.session.ws_connect(
        service.url + stream_path(job_id), params={"offset": offset}
    ) as socket:
        stream = Stream(socket, offset)
        try:
            while (frame := await stream.frame()) is not None:
                if frame["type"] == "log":
                    into.append(frame["data"])
        except (aiohttp.ClientError, AssertionError):
            pass
        return stream.offset, socket.close_code


def _has_grown(parts: list[str], wanted: int) -> bool:
    return len(parts) >= wanted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_returning_reader_gets_every_byte_once(
    service: Service, number: signal.Signals
) -> None:
    job_id = await service.submit(CHATTY)
    parts: list[str] = []
    offset = 0
    for _ in range(3):
        reading = asyncio.create_task(read_until_closed(service, job_id, offset, parts))
        await eventually(partial(_has_grown, parts, len(parts) + 5), what="output is read")
        assert await service.end(number) in {0, -number}
        offset, code = await asyncio.wait_for(reading, 30)
        if number == signal.SIGTERM:
            assert code == 1001
        await service.start()
    (work_of(service, job_id) / "enough").touch()
    offset, code = await read_until_closed(service, job_id, offset, parts)
    assert code == 1000
    stored = log_of(service, job_id).read_bytes()
    assert offset == len(stored)
    assert "".join(parts) == stored.decode()


async def test_the_times_of_a_log_survive_the_death_of_its_shim(service: Service) -> None:
    job_id = await service.submit(CHATTY)
    log = log_of(service, job_id)
    await eventually(lambda: log.exists() and log.stat().st_size > 2000, what="output")
    facts = json.loads((work_of(service, job_id).parent / "pid.json").read_text())
    os.kill(facts["shim_pid"], signal.SIGKILL)
    job = await service.phase(job_id, "finished")
    assert job["reason"] == "lost"
    async with service.session.ws_connect(service.url + stream_path(job_id)) as socket:
        stream = Stream(socket, 0)
        await stream.to_end()
    assert stream.text == log.read_bytes().decode("utf-8", "replace")
    times = [frame["time"] for frame in stream.frames if frame["type"] == "log"]
    assert None not in times
    assert times == sorted(times)
    assert len(times) > 5


def resident_bytes(pid: int) -> int:
    """Return the anonymous memory of a process, without mapped files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Service]:
    """A service that disconnects no reader during a test."""
    settings = WITHOUT_MLFLOW | {"ASGARD_LOGS__STALLED_READER_SECONDS": "600"}
    async with running_service(tmp_path / "data", settings) as started:
        yield started


async def test_stalled_readers_cost_little_memory(patient: Service) -> None:
    """benchmarks/logs.py does the same with 1 GB and 20 readers."""
    script = """
import os, time
while not os.path.exists("go"): time.sleep(0.01)
for _ in range(200): os.write(1, bytes(1 << 20))
"""
    job_id = await patient.submit(script)
    await patient.phase(job_id, "running")
    before = resident_bytes(patient.pid)
    async with AsyncExitStack() as stack:
        for _ in range(10):
            socket = await stack.enter_async_context(
                patient.session.ws_connect(
                    patient.url + stream_path(job_id), timeout=aiohttp.ClientWSTimeout(ws_close=0.1)
                )
            )
            Stream(socket, 0).stop_reading()
        (work_of(patient, job_id) / "go").touch()
        await patient.phase(job_id, "finished")
        assert resident_bytes(patient.pid) - before < 25_000_000
