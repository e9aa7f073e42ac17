"""Restarts of a process or a task with exponential backoff."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from asgard_async.core.backoff import Backoff


class Restart(Enum):
    """The next step after a run."""

    AFTER_PAUSE = auto()
    """The run failed or ended: start the next one after a pause."""
    AT_ONCE = auto()
    """The run was stopped to replace it: start the next one immediately."""
    NEVER = auto()
    """No further run is needed."""


async def run_with_restarts(
    run: Callable[[], Awaitable[Restart]],
    backoff: Backoff,
    *,
    before_pause: Callable[[float], Awaitable[None]] | None = None,
) -> None:
    """Call `run` repeatedly until it returns `Restart.NEVER`.

    `run` covers one run, from start to end. `before_pause` receives the length of each pause, for
    example to log why the run ended and when the next one starts. Exceptions of both callbacks end
    the loop.
    """
    pause: float | None = None
    while True:
        started_at = time.monotonic()
        restart = await run()
        if restart is Restart.NEVER:
            return
        if restart is Restart.AFTER_PAUSE:
            pause = backoff.next_pause(pause, time.monotonic() - started_at)
            if before_pause is not None:
                await before_pause(pause)
            await asyncio.sleep(pause)
