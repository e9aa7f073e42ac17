"""A client of log streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.base_protocol import BaseProtocol

from tests.support.app_server import Client

Frame = dict[str, Any]

FRAME_SECONDS = 60
"""The deadline for each frame."""
RECENT = 10_000
"""The number of last characters of the log that are searched for a text."""


def stream_path(job_id: str) -> str:
    return f"/mlops/training/jobs/{job_id}/logs/ws"


class Stream:
    """One connection. Checks that frames follow each other without gap or overlap."""

    def __init__(self, socket: ClientWebSocketResponse, offset: int) -> None:
        self.socket = socket
        self.offset = offset
        self.frames: list[Frame] = []
        self._recent = ""

    def stop_reading(self) -> None:
        """Stall: stop reading from the socket."""
        self._protocol().pause_reading()

    def read_again(self) -> None:
        """Resume reading."""
        self._protocol().resume_reading()

    def _protocol(self) -> BaseProtocol:
        connection = self.socket._conn
        assert connection is not None
        assert connection.protocol is not None
        return connection.protocol

    async def frame(self) -> Frame | None:
        """The next frame; None if the server closed the stream."""
        async with asyncio.timeout(FRAME_SECONDS):  # aiohttp's timeout restarts with each ping
            message = await self.socket.receive()
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING}:
            return None
        assert message.type is WSMsgType.TEXT, message
        frame: Frame = json.loads(message.data)
        if frame["type"] in {"log", "gap"}:
            assert frame["offset"] == self.offset
            assert frame["next"] > frame["offset"]
            self.offset = frame["next"]
            self._recent = (self._recent + frame.get("data", ""))[-RECENT:]
        self.frames.append(frame)
        return frame

    async def until(self, **members: Any) -> Frame:
        """Read up to the next frame with these members."""
        while (frame := await self.frame()) is not None:
            if members.items() <= frame.items():
                return frame
        raise AssertionError(f"no frame with {members} came: {self.frames[-3:]}")

    async def says(self, text: str) -> None:
        """Read until `text` has arrived, unless it has already."""
        while text not in self._recent:
            assert await self.frame() is not None, self._recent

    async def to_end(self) -> Frame:
        """Read up to the end; return the end frame."""
        while await self.frame() is not None:
            pass
        assert self.socket.close_code == 1000
        end = self.frames[-1]
        assert end["type"] == "end"
        assert end["offset"] == self.offset
        return end

    @property
    def text(self) -> str:
        return "".join(frame["data"] for frame in self.frames if frame["type"] == "log")

    @property
    def phases(self) -> list[str]:
        return [frame["phase"] for frame in self.frames if frame["type"] == "status"]


@asynccontextmanager
async def streaming(client: Client, job_id: str, offset: int = 0) -> AsyncIterator[Stream]:
    """A stream that starts at an offset."""
    async with client.ws_connect(
        stream_path(job_id), params={"offset": offset}, max_msg_size=0
    ) as socket:
        yield Stream(socket, offset)


async def replayed(client: Client, job_id: str, offset: int = 0) -> Stream:
    """The whole stream of a job that has ended, or soon will."""
    async with streaming(client, job_id, offset) as stream:
        await stream.to_end()
        return stream
