"""Responses: JSON, and streams."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web


def reply(
    document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON response. What is answered is of the moment, so nothing may keep it."""
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
    patience: float | None = None,
) -> web.StreamResponse:
    """Answer with the pieces as they come; only one of them is in memory at a time.

    Raises:
        TimeoutError: the client takes nothing for `patience` seconds.
    """
    async with aclosing(pieces):
        await response.prepare(request)
        if request.method != "HEAD":  # aiohttp would send them all the same
            async for piece in pieces:
                async with asyncio.timeout(patience):
                    await response.write(piece)
        await response.write_eof()
    return response
