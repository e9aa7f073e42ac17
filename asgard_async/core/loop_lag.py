"""Watches how late the event loop is, and says what keeps it from going on.

While it is kept, no request is answered and no job started. A thread looks, since the loop itself
can only tell afterwards, when what kept it is gone.
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
    """Measures the lag of the loop that `run` runs in."""

    def __init__(self, *, warn_seconds: float, observe: Callable[[float], None]) -> None:
        """Give each lag, in seconds, to `observe`; log the stack from `warn_seconds` on."""
        self._warn = warn_seconds
        self._observe = observe
        self._last_tick = time.monotonic()

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        over = threading.Event()  # a thread of an earlier run keeps its own
        self._last_tick = time.monotonic()
        threading.Thread(
            target=self._watch, args=(loop, threading.get_ident(), over), name="lag", daemon=True
        ).start()
        try:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                now = time.monotonic()
                self._observe(max(0.0, now - self._last_tick - TICK_SECONDS))
                self._last_tick = now
        finally:
            over.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int, over: threading.Event) -> None:
        told = 0.0
        while not over.wait(min(TICK_SECONDS, self._warn / 2)):
            tick = self._last_tick
            late = time.monotonic() - tick - TICK_SECONDS
            if late < self._warn or tick == told:
                continue
            told = tick  # once for each time that it is kept
            task = asyncio.current_task(loop)
            frame = sys._current_frames().get(thread)
            logger.warning(
                "the event loop has not gone on for %.1f s; task %s is at:\n%s",
                late,
                task.get_name() if task is not None else "(none)",
                "".join(traceback.format_stack(frame)) if frame is not None else "(unknown)",
            )
