"""The stream of a job's log over a WebSocket, as docs/api.md has it."""

import json
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType

from tests.api.served import Client
from tests.api.service import finished, submit

Frame = dict[str, Any]


async def connect(client: Client, job_id: str, **query: int) -> ClientWebSocketResponse:
    socket: ClientWebSocketResponse = await client.ws_connect(
        f"/mlops/training/jobs/{job_id}/logs/ws", params=query
    )
    return socket


async def frames_of(socket: ClientWebSocketResponse) -> list[Frame]:
    """All frames up to the end."""
    frames = []
    async for message in socket:
        assert message.type is WSMsgType.TEXT
        frames.append(json.loads(message.data))
    return frames


async def test_hello(api: Client) -> None:
    job = await submit(api, "print('hello')")
    socket = await connect(api, job["job_id"])
    frames = await frames_of(socket)
    assert socket.close_code == 1000
    await finished(api, job["job_id"])
    assert (await frames_of(await connect(api, job["job_id"])))[-1]["type"] == "end"
    r = await api.get(f"/mlops/training/jobs/{job['job_id']}/logs?follow=true")
    assert await r.text() == "hello\n"
