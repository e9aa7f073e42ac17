"""JSON and streamed responses."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web


def reply(
    document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Create a JSON response, which must not be cached."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(document),
        headers={
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            **(headers or {}),
        },
    )


async def stream(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncGenerator[bytes, None],
    *,
    stall_seconds: float | None = None,
) -> web.StreamResponse:
    """Send the pieces as they become available, with one piece in memory at a time.

    nginx and other proxies would buffer the response without X-Accel-Buffering.

    Raises:
        TimeoutError: the client reads nothing for `stall_seconds`.
    """
    response.headers["X-Accel-Buffering"] = "no"
    async with aclosing(pieces):
        await response.prepare(request)
        if request.method != "HEAD":  # aiohttp would send the body anyway
            async for piece in pieces:
                async with asyncio.timeout(stall_seconds):
                    await response.write(piece)
        await response.write_eof()
    return response
