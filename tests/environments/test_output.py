"""A build's output in the log of a job that waits for it."""

import asyncio
import threading
from pathlib import Path

import pytest

from asgard_async.environments.output import JobLogCopy
from asgard_async.logformat.times import parts_by_time
from asgard_async.supervisor.shim.pump import Log
from tests.support.eventually import eventually
from tests.support.written_logs import write_at

LIMIT = 1 << 20


async def test_copied_output_keeps_the_times_of_the_build(tmp_path: Path) -> None:
    build_log, job_log = tmp_path / "1.log", tmp_path / "jobs" / "a" / "job.log"
    write_at(build_log, (b"resolving\n", 1000), (b"building\n", 60_000))
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    copying = asyncio.create_task(JobLogCopy(job_log, limit_bytes=LIMIT).follow(build_log, done))
    write_at(build_log, (b"installed\n", 90_000))
    done.set_result(None)
    await copying
    assert job_log.read_bytes() == build_log.read_bytes()
    expected = [(10, 1000), (19, 60_000), (29, 90_000)]
    assert list(parts_by_time(job_log, 0, 29)) == expected


async def test_a_restarted_service_copies_nothing_twice(tmp_path: Path) -> None:
    build_log, job_log = tmp_path / "1.log", tmp_path / "job.log"
    write_at(build_log, (b"resolving\n", 1000), (b"building\n", 60_000))
    write_at(job_log, (b"resolving\n", 1000))
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    await JobLogCopy(job_log, limit_bytes=LIMIT).follow(build_log, done)
    assert job_log.read_bytes() == build_log.read_bytes()


async def test_an_abandoned_copy_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_log, job_log = tmp_path / "1.log", tmp_path / "job.log"
    write_at(build_log, (b"resolving\n", 1000))
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    go_on, real_write = threading.Event(), Log.write

    def slow_write(log: Log, data: bytes, at_ms: int | None = None) -> None:
        go_on.wait(30)
        real_write(log, data, at_ms)

    monkeypatch.setattr(Log, "write", slow_write)
    copying = asyncio.create_task(JobLogCopy(job_log, limit_bytes=LIMIT).follow(build_log, done))
    await eventually(job_log.exists, what="copying has begun")
    copying.cancel()
    await asyncio.wait({copying}, timeout=0.05)
    assert not copying.done()
    go_on.set()
    await asyncio.wait({copying})
    assert job_log.read_bytes() == b"resolving\n"
