"""Following a real job: no byte is lost or repeated, whatever fails."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from asgard_async.client import (
    AsyncAsgardClient,
    ConnectionFailed,
    EndEvent,
    Event,
    GapEvent,
    Job,
    JobFailed,
    LogEvent,
    NotFound,
    Status,
    StatusEvent,
    Unavailable,
)
from tests.client.conftest import NAMES
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.tcp_relay import relaying

HOSTILE = b"\xff\xfe caf\xc3\xa9 \xf0\x9f\x98 \xe2\x82\xac \xef\xbf\xbd\r\x00\n"
"""Invalid bytes, a character that was begun, a real U+FFFD, a carriage return, NUL."""


def counting(release: Path) -> str:
    """A script that prints, waits for a flag, and prints more."""
    return f"""
import os, sys, time
out = sys.stdout.buffer
for number in range(2000):
    out.write(b"%d " % number + {HOSTILE!r})
out.flush()
while not os.path.exists({str(release)!r}):
    out.write(b"waiting " + {HOSTILE!r})
    out.flush()
    time.sleep(0.01)
for number in range(2000):
    out.write(b"%d " % number + {HOSTILE!r})
"""


async def stored_log(service: Service, job: Job) -> bytes:
    url = f"{service.url}/mlops/training/jobs/{job.job_id}/logs"
    async with service.session.get(url) as response:
        return await response.read()


def check(events: list[Event], stored: bytes) -> None:
    """Check that the events contain the exact log and a single end."""
    received = b""
    for event in events:
        if isinstance(event, LogEvent):
            assert event.offset == len(received)
            received += event.data
            assert event.next == len(received)
    assert received == stored
    assert [event for event in events if isinstance(event, EndEvent)] == events[-1:]
    assert isinstance(events[-1], EndEvent)
    assert events[-1].offset == len(stored)


async def test_events_of_a_job_arrive_in_order(
    client: AsyncAsgardClient, shared: Service, tmp_path: Path
) -> None:
    (tmp_path / "release").touch()
    job = await client.submit(source=counting(tmp_path / "release"), **NAMES)
    events = [event async for event in client.follow(job)]
    check(events, await stored_log(shared, job))
    states = [event.status for event in events if isinstance(event, StatusEvent)]
    assert states[-1] is Status.COMPLETED
    assert isinstance(events[0], StatusEvent)
    assert isinstance(events[-1], EndEvent)
    assert (events[-1].reason, events[-1].exit_code) == ("succeeded", 0)
    assert any(isinstance(event, LogEvent) and event.time for event in events)
    # a finished job can be followed again, from any byte
    for offset in (1, 7, 3000):
        late = [event async for event in client.follow(job, offset)]
        data = b"".join(event.data for event in late if isinstance(event, LogEvent))
        assert data == (await stored_log(shared, job))[offset:]


async def test_a_follower_survives_kill_9_of_the_service(service: Service, tmp_path: Path) -> None:
    release = tmp_path / "release"
    async with AsyncAsgardClient(service.url) as client:
        job = await client.submit(source=counting(release), **NAMES)
        waiting = asyncio.create_task(client.wait(job))
        events: list[Event] = []
        async with asyncio.timeout(60):
            async for event in client.follow(job):
                events.append(event)
                if (
                    isinstance(event, LogEvent)
                    and b"waiting" in event.data
                    and not release.exists()
                ):
                    await service.kill()
                    release.touch()  # so it prints the rest while the service is down
                    await service.start()
            check(events, await stored_log(service, job))
            assert (await waiting).succeeded
    states = [event for event in events if isinstance(event, StatusEvent)]
    assert all(one != other for one, other in pairwise(states))


async def test_repeated_disconnects_lose_no_byte(shared: Service, tmp_path: Path) -> None:
    release = tmp_path / "release"
    async with relaying(shared.port) as relay, AsyncAsgardClient(relay.url) as client:
        job = await client.submit(source=counting(release), **NAMES)
        events: list[Event] = []
        async with asyncio.timeout(60):
            async for event in client.follow(job):
                events.append(event)
                if len(events) % 10 == 0 and relay.connections < 12:
                    relay.cut()
                if relay.connections >= 12:
                    release.touch()
        check(events, await stored_log(shared, job))


@pytest.mark.service
async def test_dropped_output_is_reported_as_a_gap(tmp_path: Path) -> None:
    settings = {**WITHOUT_MLFLOW, "ASGARD_LOGS__MAX_BYTES_PER_JOB": "200000"}
    async with (
        running_service(tmp_path / "data", settings) as service,
        AsyncAsgardClient(service.url) as client,
    ):
        job = await client.submit(
            source="for n in range(40000): print('line', n, '\\u00e9')", **NAMES
        )
        await client.wait(job, check=True)
        events = [event async for event in client.follow(job)]
        (gap,) = [event for event in events if isinstance(event, GapEvent)]
        parts = [event for event in events if isinstance(event, LogEvent | GapEvent)]
        assert all(one.next == other.offset for one, other in pairwise(parts))
        stored = await stored_log(service, job)
        text = "".join([text async for text in client.logs(job)])
        # the gap may split a character
        head, tail = stored[: gap.offset], stored[gap.offset :]
        assert text == head.decode(errors="replace") + tail.decode(errors="replace")
        assert f"{gap.next - gap.offset} bytes" in text
        assert text == "".join([text async for text in client.logs(job, follow=True)])


async def test_a_log_can_be_read(
    client: AsyncAsgardClient, shared: Service, tmp_path: Path
) -> None:
    (tmp_path / "release").touch()
    job = await client.submit(source=counting(tmp_path / "release"), **NAMES)
    await client.wait(job)
    stored = await stored_log(shared, job)
    assert b"".join([data async for data in client.log_bytes(job)]) == stored
    assert b"".join([data async for data in client.log_bytes(job, offset=5)]) == stored[5:]
    text = "".join([text async for text in client.logs(job)])
    assert text == stored.decode("utf-8", "replace")
    lines = [line async for line in client.log_lines(job)]
    assert lines == text.removesuffix("\n").split("\n")
    assert [line async for line in client.log_lines(job, tail=2)] == lines[-2:]
    assert [line async for line in client.log_lines(job, tail=2, follow=True)] == lines[-2:]
    with pytest.raises(ValueError, match="either"):
        [text async for text in client.logs(job, offset=1, tail=1)]
    assert (await client.get(job, logs="full")).logs == text
    assert (await client.get(job, logs="none")).logs is None


async def test_following_or_awaiting_an_unknown_job_fails(
    client: AsyncAsgardClient,
) -> None:
    with pytest.raises(NotFound, match="no job"):
        [event async for event in client.follow("00000000")]
    with pytest.raises(NotFound):
        await client.wait("00000000")
    with pytest.raises(NotFound):
        await client.wait("../../health/live")


async def test_waiting_ends_with_the_job_or_the_timeout(client: AsyncAsgardClient) -> None:
    job = await client.submit(source="import time; time.sleep(60)", **NAMES)
    with pytest.raises(TimeoutError, match="it continues to run"):
        await client.wait(job, timeout=0.2)
    assert not (await client.get(job)).is_finished
    waiting = asyncio.create_task(client.wait(job, check=True))
    await client.cancel(job)
    with pytest.raises(JobFailed, match="ended as cancelled") as caught:
        await waiting
    assert caught.value.job.status is Status.CANCELLED


async def test_waiting_reports_why_a_job_failed(client: AsyncAsgardClient) -> None:
    job = await client.submit(source="raise ValueError('too odd')", **NAMES)
    with pytest.raises(JobFailed, match="too odd"):
        await client.wait(job, check=True)
    ended = await client.wait(job)
    assert (ended.status, ended.reason, ended.exit_code) == (Status.FAILED, "exit_code", 1)


async def test_following_gives_up_on_an_absent_service(service: Service) -> None:
    async with AsyncAsgardClient(service.url, retry_for=0.2, reconnect_for=0.5) as client:
        job = await client.submit(source="import time; time.sleep(60)", **NAMES)
        events = client.follow(job)
        async for event in events:
            if isinstance(event, StatusEvent) and event.phase == "running":
                break
        await service.kill()
        # with a job running, a process answers in the service's place
        with pytest.raises((ConnectionFailed, Unavailable), match="asgard serve"):
            [event async for event in events]
        with pytest.raises((ConnectionFailed, Unavailable), match="asgard serve"):
            await client.wait(job)
