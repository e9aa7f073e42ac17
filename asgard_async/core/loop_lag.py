"""Measurement of event loop lag, and a log entry with the stack that blocks the loop.

While the loop is blocked, the service answers no requests and starts no jobs. A thread watches the
loop, because the loop itself notices the delay only after the blocking code has returned.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable

TICK_SECONDS = 0.25

logger = logging.getLogger(__name__)


class LoopLag:
    """Measures the lag of the event loop that `run` runs in."""

    def __init__(self, *, warn_seconds: float, observe: Callable[[float], None]) -> None:
        """Pass each lag, in seconds, to `observe`; log the stack once it reaches `warn_seconds`."""
        self._warn_seconds = warn_seconds
        self._observe = observe
        self._last_tick = time.monotonic()

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        # local, since the thread of an earlier run may still use its own event
        stopped = threading.Event()
        self._last_tick = time.monotonic()
        threading.Thread(
            target=self._watch,
            args=(loop, threading.get_ident(), stopped),
            name="loop lag",
            daemon=True,
        ).start()
        try:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                now = time.monotonic()
                self._observe(max(0.0, now - self._last_tick - TICK_SECONDS))
                self._last_tick = now
        finally:
            stopped.set()

    def _watch(
        self, loop: asyncio.AbstractEventLoop, loop_thread: int, stopped: threading.Event
    ) -> None:
        reported_tick = 0.0
        while not stopped.wait(min(TICK_SECONDS, self._warn_seconds / 2)):
            tick = self._last_tick
            lag = time.monotonic() - tick - TICK_SECONDS
            if lag < self._warn_seconds or tick == reported_tick:
                continue
            reported_tick = tick  # report each blockage once
            task = asyncio.current_task(loop)
            frame = sys._current_frames().get(loop_thread)
            logger.warning(
                "event loop blocked for %.1f s; task %s is at:\n%s",
                lag,
                task.get_name() if task is not None else "(none)",
                "".join(traceback.format_stack(frame)) if frame is not None else "(unknown)",
            )
