"""Raw HTTP over a socket, for requests that no client library sends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support.service import ServiceApi

DEADLINE_SECONDS = 30


@contextlib.asynccontextmanager
async def connected(
    service: ServiceApi,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection to a service on loopback."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def trickle(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send a piece repeatedly until the other end closes."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)


async def until_closed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes = b""
) -> bytes:
    """Read the response until the other end closes, sending `piece` all the time.

    Raises:
        TimeoutError: The other end does not close.
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
    """The status of a response; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
