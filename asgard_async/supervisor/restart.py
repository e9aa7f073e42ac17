"""Restarts of a process with exponential backoff."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto


class Restart(Enum):
    """The next step after a run of a process."""

    AFTER_PAUSE = auto()
    """The process failed: restart it after a pause."""
    AT_ONCE = auto()
    """The process was stopped to replace it: restart it immediately."""
    NEVER = auto()
    """The process is no longer needed."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Pauses between a failure and the next start; each is twice the previous one, up to a limit.

    A run that lasts longer than `healthy_seconds` resets the pause.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    healthy_seconds: float = 60.0

    def next_pause(self, last_pause: float | None, run_seconds: float) -> float:
        """Return the pause after a run of this length; `last_pause` is None for the first one."""
        if last_pause is None or run_seconds > self.healthy_seconds:
            return self.first_seconds
        return min(last_pause * 2, self.longest_seconds)


async def run_with_restarts(
    run: Callable[[], Awaitable[Restart]],
    backoff: Backoff,
    *,
    before_pause: Callable[[float], Awaitable[None]] | None = None,
) -> None:
    """Call `run` repeatedly until it returns `Restart.NEVER`.

    `run` covers one run of the process, from start to end. `before_pause` receives the length of
    each pause, for example to log why the process ended and when it restarts. Exceptions of both
    callbacks end the loop.
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
