"""HTTP as it would be written by hand, for what no client library sends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support.service import ServiceApi

DEADLINE_SECONDS = 30


@contextlib.asynccontextmanager
async def connected(
    service: ServiceApi,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a service on loopback."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def trickle(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send a piece again and again until the other end has closed."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)


async def until_closed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes = b""
) -> bytes:
    """What is answered until the other end closes, to which `piece` is sent all the time.

    Raises:
        TimeoutError: it does not close.
    """
    sending = asyncio.create_task(trickle(writer, piece)) if piece else None
    answer = b""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(65536):
                    answer += part
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return answer


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 when there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
