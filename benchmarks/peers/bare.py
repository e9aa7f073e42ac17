"""A minimal server: an aiohttp application with one handler, in a process of its own."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks.memory import rss_bytes
from tests.support.eventually import eventually
from tests.support.service import free_port


@dataclass(frozen=True)
class BareServer:
    """The address and process of a bare server."""

    url: str
    pid: int


@contextlib.asynccontextmanager
async def bare_server(module: str, argument: str) -> AsyncIterator[BareServer]:
    """Run `python -m MODULE PORT ARGUMENT` until the context is left."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, str(port), argument
    )

    async def listens() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    try:
        await eventually(listens, what=f"{module} listens")
        yield BareServer(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        await process.wait()


def bare_start() -> tuple[float, float]:
    """Seconds until Python has imported aiohttp.web, and its memory in MB."""
    code = "import aiohttp.web; print(flush=True); input()"
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - begun
        memory = rss_bytes(process.pid) / 1e6
        process.communicate(b"\n")
    return seconds, memory
