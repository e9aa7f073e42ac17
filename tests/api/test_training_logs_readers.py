"""Readers of the log stream over a WebSocket: many, idle, stalled, departed, of deleted jobs."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import WSMsgType

from asgard_async.api import training_logs_ws
from asgard_async.api.metrics.component import METRICS
from asgard_async.jobs.component import FOLLOWERS
from tests.store.conftest import accept
from tests.support import log_stream_client
from tests.support.api_service import (
    ENDLESS,
    cancel,
    finished,
    log_of,
    running,
    service_config,
    store_of,
    submit,
)
from tests.support.app_server import Client
from tests.support.eventually import eventually
from tests.support.followed_jobs import (
    FLOOD,
    HELD,
    impatient_service,
    let_go,
    reader_disconnected,
)
from tests.support.log_stream_client import stream_path, streaming


async def test_idle_readers_are_pinged(shared_api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_logs_ws, "PING_SECONDS", 0.01)
    job_id = (await accept(store_of(shared_api))).job_id
    async with shared_api.ws_connect(stream_path(job_id), autoping=False) as socket:
        pings = 0
        async for message in socket:
            pings += message.type is WSMsgType.PING
            if pings == 3:
                break


async def test_departed_readers_leave_nothing_behind(shared_api: Client) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    followers, metrics = shared_api.app[FOLLOWERS], shared_api.app[METRICS]
    dropped = metrics.dropped_log_readers._value.get()
    await eventually(lambda: metrics.log_readers._value.get() == 0, what="no earlier readers")
    async with streaming(shared_api, job_id) as one, streaming(shared_api, job_id) as other:
        await one.until(type="status")
        await other.until(type="status")
        assert metrics.log_readers._value.get() == 2
    await eventually(lambda: not followers._followers, what="no followers")
    await eventually(lambda: metrics.log_readers._value.get() == 0, what="the gauge is 0")
    assert followers._feeds._feeds == {}
    watch = followers._feeds._source._watch
    assert watch._wakes == {}
    assert watch._watches == {}
    assert store_of(shared_api).changes._subscribers == {}
    assert metrics.dropped_log_readers._value.get() == dropped


@pytest.mark.parametrize("readers", [20, pytest.param(200, marks=pytest.mark.soak)])
async def test_many_readers_get_every_byte(busy_api: Client, readers: int) -> None:
    script = """
import time
for n in range(3000):
    print(n, 'é' * (n % 50))
    n % 30 or time.sleep(.01)
"""
    job_id = (await submit(busy_api, script))["job_id"]

    async def read(number: int) -> str:
        async with streaming(busy_api, job_id) as stream:
            await stream.to_end()
            return stream.text

    texts = await asyncio.gather(*map(read, range(readers)))
    assert set(texts) == {log_of(busy_api, job_id).read_text()}


@pytest.mark.service
async def test_a_stalled_reader_does_not_affect_others(tmp_path: Path) -> None:
    async with impatient_service(tmp_path) as client:
        job_id = (await submit(client, FLOOD + HELD))["job_id"]
        async with streaming(client, job_id) as stalled, streaming(client, job_id) as good:
            await stalled.until(type="status")
            stalled.stop_reading()
            await good.says("begun")
            await reader_disconnected(client)
            let_go(client, job_id)
            await good.to_end()
            assert good.offset == log_of(client, job_id).stat().st_size
            stalled.read_again()


@pytest.mark.service
@pytest.mark.parametrize("megabytes", [10, pytest.param(100, marks=pytest.mark.soak)])
async def test_a_very_long_line_is_streamed(tmp_path: Path, megabytes: int) -> None:
    config = service_config(tmp_path, logs={"max_bytes_per_job": 200 << 20})
    async with running(config) as client:
        script = f"import os\nfor _ in range({megabytes}): os.write(1, b'\\xc3\\xa9' * 524288)"
        job_id = (await submit(client, script))["job_id"]
        async with streaming(client, job_id) as stream:
            characters = 0
            while (frame := await stream.frame()) is not None:
                characters += len(frame.get("data", ""))
                assert "\ufffd" not in frame.get("data", "")
                stream.frames.clear()
            assert characters * 2 == stream.offset == megabytes << 20


async def test_readers_are_counted(shared_api: Client) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    readers = shared_api.app[METRICS].log_readers
    await eventually(lambda: readers._value.get() == 0, what="no earlier readers")
    async with streaming(shared_api, job_id) as stream:
        await stream.until(type="status")
        figures = await (await shared_api.get("/metrics")).text()
    assert "asgard_log_readers 1.0" in figures
    assert "asgard_log_readers_dropped_total 0.0" in figures


# --- stops and deletions ----------------------------------------------------------------------


async def test_deleting_a_job_aborts_its_stream(busy_api: Client) -> None:
    script = "import os\nfor _ in range(40): os.write(1, b'x' * 1048576)"
    job_id = (await submit(busy_api, script))["job_id"]
    await finished(busy_api, job_id)
    async with streaming(busy_api, job_id) as stream:
        await stream.until(type="log")
        assert (await busy_api.delete(f"/mlops/training/jobs/{job_id}")).status == 204
        while await stream.frame() is not None:
            pass
        assert stream.socket.close_code == 1001
        assert stream.frames[-1]["type"] == "log"


async def test_the_stream_of_a_deleted_job_ends(shared_api: Client) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    async with streaming(shared_api, job_id) as stream:
        await stream.until(type="status")
        await cancel(shared_api, job_id)
        await shared_api.delete(f"/mlops/training/jobs/{job_id}")
        while await stream.frame() is not None:
            pass
        assert stream.socket.close_code in {1000, 1001}


@pytest.mark.service
async def test_the_test_reader_gives_up_on_a_silent_stream(
    busy_api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the reader of these tests: pings do not count as frames."""
    monkeypatch.setattr(training_logs_ws, "PING_SECONDS", 0.05)
    monkeypatch.setattr(log_stream_client, "FRAME_SECONDS", 1)
    job_id = (await submit(busy_api, ENDLESS))["job_id"]
    async with streaming(busy_api, job_id) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30) as whole:
                await stream.to_end()
        assert not whole.expired()
    await cancel(busy_api, job_id)
