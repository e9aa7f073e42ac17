"""A real fork server for tests, with few or no preloaded modules."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from sys import executable

from asgard_async.executors.local.warm.server import ForkServer


@contextlib.asynccontextmanager
async def fork_server(
    directory: Path, preload: Sequence[str] = (), **variables: str
) -> AsyncIterator[ForkServer]:
    """A ready fork server, stopped at the end."""
    for name in ("home", "tmp", "work"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    server = ForkServer(
        Path(executable),
        directory,
        {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **variables},
    )
    try:
        await server.ready(preload)
        yield server
    finally:
        server.close()
