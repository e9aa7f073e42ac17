"""A timeout by the processor time that another process uses."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

LOOK_AGAIN_SECONDS = 0.02
"""Shortest pause between two looks at the processor time."""


class ProcessorTimeLimit:
    """Ends the wait for a process that uses too much processor time, or gets too little of it.

    Use it once, as an async context manager. It raises `TimeoutError` at its end in both cases;
    `is_used_up` tells them apart. Usually it looks at the processor time only once, at the start.
    """

    def __init__(
        self, used_seconds: Callable[[], float], limit_seconds: float, max_wait_seconds: float
    ) -> None:
        """Limit what `used_seconds` returns to `limit_seconds` more than now."""
        self._used = used_seconds
        self._seconds = limit_seconds
        self._max_wait = max_wait_seconds
        self._timeout = asyncio.timeout(None)
        self.is_used_up = False

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._until = now + self._max_wait
        self._limit = self._used() + self._seconds
        self._look_at(now + self._seconds)
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        self._next_look.cancel()
        await self._timeout.__aexit__(*exc_info)

    def _look_at(self, moment: float) -> None:
        self._next_look = self._loop.call_at(min(moment, self._until), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        left = self._limit - self._used()
        if left > 0 and now < self._until:
            self._look_at(now + max(left, LOOK_AGAIN_SECONDS))
        else:
            self.is_used_up = left <= 0
            self._timeout.reschedule(now)
