"""Retries with increasing pauses, for a limited time."""

import asyncio
import random

FIRST_SECONDS = 0.1
MAX_SECONDS = 5.0


class RetryBudget:
    """Waits longer after each failure, and gives up after `seconds` without a success."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failing_since: float | None = None
        self._failures = 0

    def reset(self, seconds: float) -> None:
        """Record a success: the next series of failures may last `seconds`."""
        self._seconds, self._failing_since, self._failures = seconds, None, 0

    async def pause(self, error: Exception, at_least: float = 0.0) -> None:
        """Sleep before the next attempt, for at least `at_least` seconds.

        Raises:
            Exception: `error`, when the next attempt would come too late.
        """
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        longest = min(MAX_SECONDS, FIRST_SECONDS * 2.0**self._failures)
        # random, so that many clients do not retry at the same moment
        delay = max(at_least, longest * random.uniform(0.5, 1.0))  # noqa: S311
        if now + delay > self._failing_since + self._seconds:
            raise error
        self._failures += 1
        await asyncio.sleep(delay)
