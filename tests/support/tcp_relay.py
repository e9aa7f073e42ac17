"""A TCP relay in front of the service that breaks connections on demand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

CHUNK = 1 << 16


class Relay:
    """A relay of bytes; calls `before_answer` with each piece of a response before it forwards it.

    While `passing` is false, nothing reaches the client: its connections are reset.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.url = ""
        self.connections = 0
        self.passing = True
        self.before_answer: Callable[[bytes], Awaitable[None]] | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._open:
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            up, down = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(self._requests(reader, down), self._answers(up, writer))
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            down.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            down.write(data)
            await down.drain()
        raise ConnectionResetError

    async def _answers(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await up.read(CHUNK):
            if self.before_answer is not None:
                await self.before_answer(data)
            if not self.passing:
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def relaying(port: int) -> AsyncIterator[Relay]:
    """Run a relay to a local port."""
    relay = Relay(port)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(relay.handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
