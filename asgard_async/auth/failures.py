"""A limit on invalid tokens per address."""

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_ADDRESSES = 4096
"""Addresses remembered at once; the one with the oldest failure is forgotten first."""


class Failures:
    """Counts failures by address within a time window.

    Valid tokens are always accepted, so one client cannot lock out others behind the same proxy.
    """

    def __init__(
        self,
        *,
        allowed: int = 20,
        window_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = allowed
        self._window = window_seconds
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """Return how long the address must wait after too many invalid tokens; 0 if it need not."""
        started_at, count = self._seen.get(address, (0.0, 0))
        remaining = started_at + self._window - self._clock()
        return remaining if count >= self._allowed and remaining > 0 else 0.0

    def note(self, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        started_at, count = self._seen.pop(address, (now, 0))
        if now - started_at >= self._window:
            started_at, count = now, 0
        self._seen[address] = (started_at, count + 1)
        if len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)
