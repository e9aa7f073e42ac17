"""Entries of the audit log that stand for many requests, written once a minute."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

WINDOW_SECONDS = 60.0


@dataclass(kw_only=True)
class RequestTally:
    """Requests of one kind since its last entry, with the latest of them."""

    count: int
    entry: dict[str, Any]


class WindowedEntries(ABC):
    """Tallies that are written at the end of each window. Call `run` in a background task."""

    def __init__(self) -> None:
        self._noted = asyncio.Event()
        """Set by subclasses when there is something to count or to forget."""

    async def run(self) -> None:
        """Write the counts of each window until cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(WINDOW_SECONDS)
            self._noted.clear()
            self.flush()

    @abstractmethod
    def flush(self) -> None:
        """Write the counts of a window, and start the next one."""
