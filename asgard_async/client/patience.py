"""How often and how long something that fails is tried again."""

import asyncio
import random

FIRST_SECONDS = 0.1
MOST_SECONDS = 5.0


class Patience:
    """Waits longer after each failure, and gives up after `seconds` without success."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._failures = 0

    def renew(self, seconds: float) -> None:
        """It went well: from now on `seconds` are borne."""
        self._seconds, self._since, self._failures = seconds, None, 0

    async def bear(self, error: Exception, at_least: float = 0.0) -> None:
        """Wait before the next try, at least that many seconds.

        Raises:
            Exception: `error`, when the next try would come too late.
        """
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        longest = min(MOST_SECONDS, FIRST_SECONDS * 2.0**self._failures)
        # at random, so that many clients do not come back at the same moment
        delay = max(at_least, longest * random.uniform(0.5, 1.0))  # noqa: S311
        if now + delay > self._since + self._seconds:
            raise error
        self._failures += 1
        await asyncio.sleep(delay)
