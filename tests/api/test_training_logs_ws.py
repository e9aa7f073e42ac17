"""The log stream over a WebSocket, as documented in docs/api.md: frames and rejections."""

import itertools
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import WSServerHandshakeError

from tests.store.conftest import accept
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
from tests.support.followed_jobs import HELD, let_go
from tests.support.log_stream_client import Stream, replayed, stream_path, streaming


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
        "log_kept": True,
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
