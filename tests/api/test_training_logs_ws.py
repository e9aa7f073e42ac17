"""The log stream over a WebSocket, as documented in docs/api.md."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

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
    problem,
    refused_fields,
    running,
    service_config,
    store_of,
    submit,
)
from tests.support.app_server import Client
from tests.support.eventually import eventually
from tests.support.log_stream_client import Stream, replayed, stream_path, streaming

HELD = """
import os, time
print("begun", flush=True)
while not os.path.exists("go"): time.sleep(0.01)
print("gone on")
"""
"""Continues once a file appears in its working directory."""


def let_go(client: Client, job_id: str) -> None:
    (log_of(client, job_id).parent / "attempts" / "1" / "work" / "go").touch()


@pytest.fixture
async def one_slot(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that runs one job at a time."""
    async with running(service_config(tmp_path, jobs={"max_concurrent_jobs": 1})) as client:
        yield client


# --- frames -----------------------------------------------------------------------------------


@pytest.mark.service
async def test_a_job_is_followed_from_the_queue_to_its_end(one_slot: Client) -> None:
    blocker = await submit(one_slot, ENDLESS)
    job_id = (await submit(one_slot, HELD))["job_id"]
    async with streaming(one_slot, job_id) as stream:
        assert await stream.frame() == {
            "type": "status",
            "status": "queued",
            "phase": "queued",
            "queue_position": 1,
        }
        await cancel(one_slot, blocker["job_id"])
        await stream.says("begun")
        let_go(one_slot, job_id)
        end = await stream.to_end()
    assert stream.text == "begun\ngone on\n"
    # the queue position may change before the job starts
    passed = [phase for phase, _ in itertools.groupby(stream.phases)]
    assert passed == ["queued", "starting", "running", "recording", "finished"]
    assert end == {
        "type": "end",
        "status": "completed",
        "reason": "succeeded",
        "exit_code": 0,
        "run_id": None,
        "model_version": None,
        "offset": len("begun\ngone on\n"),
    }
    times = [frame["time"] for frame in stream.frames if frame["type"] == "log"]
    assert all(times)  # not sorted: a clock may be set back
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)


async def test_a_replay_has_the_same_text_and_write_times(
    busy_api: Client,
) -> None:
    job_id = (await submit(busy_api, HELD))["job_id"]
    async with streaming(busy_api, job_id) as live:
        await live.says("begun")
        let_go(busy_api, job_id)
        await live.to_end()
    replay = await replayed(busy_api, job_id)
    assert replay.phases == ["finished"]
    assert replay.text == live.text
    assert replay.frames[-1] == live.frames[-1]
    first = {f["offset"]: f["time"] for f in live.frames if f["type"] == "log"}
    for frame in replay.frames:
        if frame["type"] == "log" and frame["offset"] in first:
            assert frame["time"] == first[frame["offset"]]


async def test_resuming_at_any_next_gives_exactly_the_rest(busy_api: Client) -> None:
    script = (
        "import time\nfor n in range(12):\n    print(f'{n} é', flush=True)\n    time.sleep(.02)"
    )
    job_id = (await submit(busy_api, script))["job_id"]
    whole = await replayed(busy_api, job_id)
    assert len(whole.frames) > 5
    for frame in whole.frames:
        if frame["type"] == "log":
            rest = await replayed(busy_api, job_id, frame["next"])
            assert rest.text == whole.text.encode()[frame["next"] :].decode()


async def test_an_offset_beyond_the_end_means_the_end(busy_api: Client) -> None:
    job_id = (await submit(busy_api))["job_id"]
    await finished(busy_api, job_id)
    async with busy_api.ws_connect(stream_path(job_id), params={"offset": 10**15}) as socket:
        end = await Stream(socket, len("hello\n")).to_end()
    assert end["offset"] == len("hello\n")


@pytest.mark.service
async def test_queue_positions_are_sent(one_slot: Client) -> None:
    await submit(one_slot, ENDLESS)
    first, second, third = [(await submit(one_slot, ENDLESS))["job_id"] for _ in range(3)]
    async with streaming(one_slot, third) as stream:
        await stream.until(queue_position=3)
        await submit(one_slot, ENDLESS, priority=7)
        await stream.until(queue_position=4)
        await cancel(one_slot, first)
        await stream.until(queue_position=3)
        await cancel(one_slot, second)
        await stream.until(queue_position=2)
        await cancel(one_slot, third)
        end = await stream.to_end()
    assert (end["status"], end["reason"], end["exit_code"]) == ("cancelled", "cancelled", None)


async def test_a_followed_job_can_be_cancelled(busy_api: Client) -> None:
    script = "import time\nprint('begun', flush=True)\ntime.sleep(1000)"
    job_id = (await submit(busy_api, script))["job_id"]
    async with streaming(busy_api, job_id) as stream:
        await stream.says("begun")
        await cancel(busy_api, job_id)
        end = await stream.to_end()
    assert (end["status"], end["reason"]) == ("cancelled", "cancelled")
    assert stream.phases[-3:] == ["stopping", "recording", "finished"]


async def test_the_stream_of_a_silent_job_ends(busy_api: Client) -> None:
    job_id = (await submit(busy_api, "pass"))["job_id"]
    stream = await replayed(busy_api, job_id)
    assert {frame["type"] for frame in stream.frames} == {"status", "end"}
    assert stream.offset == 0


async def test_the_last_output_is_sent_before_the_end(busy_api: Client) -> None:
    script = "import os\nos.write(1, b'x' * 200_000 + b'last')\nos._exit(5)"
    for _ in range(5):
        async with streaming(busy_api, (await submit(busy_api, script))["job_id"]) as stream:
            end = await stream.to_end()
        assert end["exit_code"] == 5
        assert stream.text == "x" * 200_000 + "last"


async def test_hostile_output_is_sent_as_documented(busy_api: Client) -> None:
    script = r"""
import os, time
def write(data):
    os.write(1, data)
    time.sleep(0.03)
write("€".encode()[:1]); write("€".encode()[1:])
for byte in "😀".encode(): write(bytes([byte]))
write(b"\xff\xfe|\xed\xa0\x80|\xc3(|\0|\r50%\r100%\r\n\x1b]0;title\x07")
try:
    os.ftruncate(1, 0)
except OSError:
    pass
try:
    os.close(os.open("/proc/self/fd/1", os.O_WRONLY | os.O_TRUNC))
except OSError:
    pass
write(b"end \xf0\x9f")
"""
    job_id = (await submit(busy_api, script))["job_id"]
    async with streaming(busy_api, job_id) as stream:
        await stream.to_end()
    stored = log_of(busy_api, job_id).read_bytes()
    assert stored.startswith("€😀".encode())
    assert stream.text == stored.decode("utf-8", "replace")
    assert stream.text.endswith("end \ufffd")
    assert (await replayed(busy_api, job_id)).text == stream.text


@pytest.mark.service
async def test_a_gap_stands_for_dropped_output(tmp_path: Path) -> None:
    config = service_config(tmp_path, logs={"max_bytes_per_job": 131072})
    script = "for n in range(100_000): print(f'{n:07}')"
    async with running(config) as client:
        job_id = (await submit(client, script))["job_id"]
        await finished(client, job_id)
        stream = await replayed(client, job_id)
        data = b"".join(b"%07d\n" % n for n in range(100_000))
        assert stream.offset == len(data)
        assert [frame["type"] for frame in stream.frames].count("gap") == 1
        for frame in stream.frames:
            if frame["type"] == "log":
                assert frame["data"].encode() == data[frame["offset"] : frame["next"]]


async def test_a_second_attempt_continues_the_same_log(shared_api: Client) -> None:
    """The log of a queued job comes from an earlier attempt, or from its environment build."""
    job_id = (await accept(store_of(shared_api))).job_id
    log = log_of(shared_api, job_id)
    log.write_bytes(b"first\n")
    async with streaming(shared_api, job_id) as stream:
        await stream.says("first")
        with log.open("ab") as file:
            file.write(b"second\n")
        await stream.says("second")


async def test_a_log_can_be_followed_before_it_exists(shared_api: Client) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    async with streaming(shared_api, job_id) as stream:
        await stream.until(type="status")
        log_of(shared_api, job_id).write_bytes(b"here\n")
        await stream.says("here")


# --- rejections ------------------------------------------------------------------------------


async def handshake_status(client: Client, path: str, headers: Mapping[str, str] = {}) -> int:
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect(path, headers=headers)
    return refused.value.status


async def test_errors_are_sent_before_the_upgrade(shared_api: Client) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    path = stream_path(job_id)
    assert await handshake_status(shared_api, stream_path("00000000")) == 404
    assert await handshake_status(shared_api, stream_path("nothing")) == 404
    assert await handshake_status(shared_api, f"{path}?offset=-1") == 422
    assert await handshake_status(shared_api, f"{path}?offset=x") == 422
    assert await handshake_status(shared_api, f"{path}?tail=5") == 422
    assert await handshake_status(shared_api, path, {"Origin": "http://evil.example"}) == 403
    assert (await refused_fields(await shared_api.get(f"{path}?offset=-1"))).keys() == {"offset"}
    await problem(await shared_api.get(stream_path("00000000")), 404)


async def test_a_request_without_upgrade_is_426(shared_api: Client) -> None:
    path = stream_path((await accept(store_of(shared_api))).job_id)
    response = await shared_api.get(path)
    assert response.headers["Upgrade"] == "websocket"
    assert "follow=true" in (await problem(response, 426))["detail"]
    assert (await shared_api.head(path)).status == 426


async def test_another_websocket_version_is_rejected(shared_api: Client) -> None:
    path = stream_path((await accept(store_of(shared_api))).job_id)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99"}
    await problem(await shared_api.get(path, headers=headers), 426)


async def test_messages_from_readers_are_ignored_unless_large(
    busy_api: Client, shared_api: Client
) -> None:
    job_id = (await submit(busy_api, HELD))["job_id"]
    async with streaming(busy_api, job_id) as stream:
        await stream.socket.send_str("hello?")
        await stream.socket.send_bytes(b"\0")
        await stream.says("begun")
        let_go(busy_api, job_id)
        await stream.to_end()
    job_id = (await accept(store_of(shared_api))).job_id
    async with streaming(shared_api, job_id) as stream:
        await stream.socket.send_str("x" * 10_000)
        while await stream.frame() is not None:
            pass
        assert stream.socket.close_code == 1009


# --- connects, disconnects, stalls ---------------------------------------------------------------


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
    config = service_config(tmp_path, logs={"stalled_reader_seconds": 0.5})
    script = f"import os\nfor n in range(60): os.write(1, b'x' * {1 << 20})\n" + HELD
    async with running(config) as client:
        job_id = (await submit(client, script))["job_id"]
        metrics = client.app[METRICS]
        async with streaming(client, job_id) as stalled, streaming(client, job_id) as good:
            await stalled.until(type="status")
            stalled.stop_reading()
            await good.says("begun")
            await eventually(
                lambda: metrics.dropped_log_readers._value.get() == 1, what="one is disconnected"
            )
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
