"""How many wrong tokens are looked at from one address."""

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_ADDRESSES = 4096
"""Addresses remembered at once; the one that failed longest ago is forgotten first."""


class Failures:
    """Counts failures by address within a window of seconds. Right tokens are never counted, so
    nobody is locked out by others behind the same proxy."""

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
        """How long the next wrong token from there has to wait; 0 when it need not."""
        began, count = self._seen.get(address, (0.0, 0))
        left = began + self._window - self._clock()
        return left if count >= self._allowed and left > 0 else 0.0

    def note(self, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        began, count = self._seen.pop(address, (now, 0))
        if now - began >= self._window:
            began, count = now, 0
        self._seen[address] = (began, count + 1)
        if len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)
