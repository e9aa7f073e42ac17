"""The data directory and the event loop monitor, as parts of the application."""

import os
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from asgard_async.config.data_directory import DataDirectory
from asgard_async.config.new_files import NewFiles
from asgard_async.config.sections import Config, ConfigError
from asgard_async.core.component import BACKGROUND, READINESS
from asgard_async.core.files.free_space import FreeSpace
from asgard_async.core.loop_lag import LoopLag


class StartState:
    """The progress of the service's start."""

    def __init__(self, *, is_complete: bool = False) -> None:
        self.is_complete = is_complete


CONFIG = web.AppKey("config", Config)
DATA = web.AppKey("data", DataDirectory)
SERVICE_LOCK = web.AppKey("service_lock", int)
"""The descriptor that holds the lock of the data directory."""
START_STATE = web.AppKey("start_state", StartState)
"""Set by who serves the application: files that a failed start made are removed."""
FREE_SPACE = web.AppKey("free_space", FreeSpace)
OBSERVE_LOOP_LAG = web.AppKey[Callable[[float], None]]("observe_loop_lag")
"""Optional callback for each measured lag of the event loop, in seconds."""


async def data_directory(app: web.Application) -> AsyncIterator[None]:
    """Create the data directory and hold its lock, which only one service can hold at a time."""
    config = app[CONFIG]
    data = DataDirectory(root=config.data_dir)
    new_files = NewFiles.since_now(data.root)
    try:
        lock = data.make().lock()
    except ConfigError:
        if new_files.names is None:
            new_files.remove()
        raise
    app[DATA] = data
    app[SERVICE_LOCK] = lock
    app[FREE_SPACE] = free_space = FreeSpace(data.root, floor_bytes=config.server.min_free_mb << 20)
    app[READINESS].unless(lambda: _shortage(free_space))
    yield
    if (state := app.get(START_STATE)) is not None and not state.is_complete:
        new_files.remove()
    os.close(lock)


async def loop_lag(app: web.Application) -> AsyncIterator[None]:
    """Measure the lag of the event loop, and log the code that blocks it."""
    lag = LoopLag(
        warn_seconds=app[CONFIG].logging.slow_loop_seconds,
        observe=app.get(OBSERVE_LOOP_LAG, lambda seconds: None),
    )
    app[BACKGROUND].keep_running("loop lag", lag.run)
    yield


def _shortage(free_space: FreeSpace) -> str | None:
    if not free_space.is_short():
        return None
    return (
        f"Less than {free_space.floor_bytes >> 20} MiB are free on the disk of the data directory."
    )
