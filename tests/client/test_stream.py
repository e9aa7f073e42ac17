"""Streams that a real service does not produce: scripted frames, lost connections, errors."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from asgard_async.client import (
    AsgardError,
    AsyncAsgardClient,
    EndEvent,
    Event,
    GapEvent,
    LogEvent,
    StatusEvent,
    Unauthorized,
)
from tests.support.mlflow_servers import serving

JOB = {
    "job_id": "3f9c01ab",
    "script_name": "train.py",
    "experiment_name": "e",
    "model_name": "m",
    "status": "completed",
    "phase": "finished",
    "reason": "succeeded",
    "created_at": "2026-01-31T12:00:00.000000Z",
    "something": "of a newer service",
}
STATUS: dict[str, object] = {"type": "status", "status": "running", "phase": "running"}
END: dict[str, object] = {"type": "end", "status": "completed", "exit_code": 0, "offset": 0}


def frame(offset: int, after: int, data: str) -> dict[str, object]:
    return {"type": "log", "offset": offset, "next": after, "data": data, "time": None}


class Streams:
    """A service that sends each connection the next of `frames` and then closes it."""

    def __init__(self, log: bytes, frames: Iterable[list[dict[str, object]] | int]) -> None:
        self._log = log
        self._frames = iter(frames)
        self.offsets: list[int] = []
        self.slices = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/ws"):
            return await self._stream(request)
        if not request.path.endswith("/logs"):
            return web.json_response(JOB)
        self.slices += 1
        offset = int(request.query["offset"])
        data = self._log[offset : offset + int(request.query["limit"])]
        return web.Response(body=data, headers={"X-Log-Next-Offset": str(offset + len(data))})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.offsets.append(int(request.query["offset"]))
        frames = next(self._frames)
        if isinstance(frames, int):
            return web.Response(status=frames)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        for document in frames:
            await ws.send_str(json.dumps(document))
        if not frames or frames[-1]["type"] != "end":
            assert request.transport is not None
            request.transport.close()
        return ws


@asynccontextmanager
async def following(streams: Streams) -> AsyncIterator[AsyncAsgardClient]:
    async with serving(streams.handle) as url, AsyncAsgardClient(url, retry_for=5) as client:
        yield client


async def events_of(streams: Streams) -> list[Event]:
    async with following(streams) as client:
        return [event async for event in client.follow("3f9c01ab")]


def bytes_of(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, LogEvent))


async def test_a_broken_stream_resumes_where_it_broke() -> None:
    streams = Streams(
        b"",
        [
            [STATUS, frame(0, 3, "abc"), frame(3, 5, "é")],
            [],
            503,
            [STATUS, frame(5, 6, "f"), {"type": "gap", "offset": 6, "next": 10}],
            [{**STATUS, "phase": "stopping"}, frame(10, 11, "g")],
            [END],
        ],
    )
    events = await events_of(streams)
    assert streams.offsets == [0, 5, 5, 5, 10, 11]
    assert bytes_of(events) == "abcéfg".encode()
    assert [event for event in events if isinstance(event, GapEvent)] == [
        GapEvent(offset=6, next=10)
    ]
    phases = [event.phase for event in events if isinstance(event, StatusEvent)]
    assert phases == ["running", "stopping"]
    assert isinstance(events[-1], EndEvent)
    assert streams.slices == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe",
        b"\xf0\x9f\x98",  # three bytes that become one character, which itself has three bytes
        b"a\xef\xbf\xbdb",  # a U+FFFD that the job itself printed
        b"ok\x80" * 1000,
    ],
)
async def test_undecodable_bytes_are_fetched_separately(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    streams = Streams(data, [[frame(0, len(data), text), END]])
    assert bytes_of(await events_of(streams)) == data
    assert streams.slices >= 1


async def test_unknown_frames_of_a_newer_service_are_skipped() -> None:
    streams = Streams(b"", [[{"type": "metric", "value": 1}, {**STATUS, "eta": 5}, END]])
    assert [type(event) for event in await events_of(streams)] == [StatusEvent, EndEvent]


@pytest.mark.parametrize(
    "frames",
    [
        [frame(0, 1, "a"), frame(2, 3, "c")],
        [frame(0, 3, "abc"), frame(2, 3, "c")],
        [frame(5, 6, "f")],
        [{"type": "log"}],
        [{"kind": "log"}],
    ],
)
async def test_a_stream_with_gaps_or_overlaps_is_an_error(
    frames: list[dict[str, object]],
) -> None:
    with pytest.raises(AsgardError, match="log stream"):
        await events_of(Streams(b"", [[*frames, END]]))


async def test_an_offset_beyond_the_log_resumes_at_its_end() -> None:
    async with following(Streams(b"", [[frame(3, 4, "d"), END]])) as client:
        events = [event async for event in client.follow("3f9c01ab", 100)]
    assert events[0] == LogEvent(offset=3, next=4, data=b"d")


@pytest.mark.parametrize("status", [404, 426, 400, 200])
async def test_without_a_stream_the_log_is_polled(status: int) -> None:
    streams = Streams(b"polled \xff", [status])
    events = await events_of(streams)
    assert bytes_of(events) == b"polled \xff"
    assert isinstance(events[-1], EndEvent)
    assert events[-1].offset == 8


@pytest.mark.parametrize("status", [401, 403])
async def test_a_forbidden_stream_is_an_error(status: int) -> None:
    with pytest.raises(Unauthorized):
        await events_of(Streams(b"", [status]))
