"""Moving processes into control groups without waiting for it.

The kernel lets all CPUs pass a quiescent state (RCU) before the first process in a while is moved:
10 to 20 ms, which every start of a job would take longer. For as long again after a move the next
ones are free. So while a job is being started, the service goes through the motions: it moves
itself to where it is.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.tasks import BackgroundTasks

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.004
"""Well within the time that a move stays free."""


class CgroupPrewarm:
    """Keeps moves free while somebody needs it; `door` is cgroup.procs of this process' group."""

    def __init__(self, authenticator: Path) -> None:
        self._door = authenticator
        self._needed = 0
        self._runs = False
        self._tasks = BackgroundTasks()

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Within it, moves are free, after a while."""
        self._needed += 1
        if not self._runs:
            self._runs = True
            self._tasks.start("haste", self._make())
        try:
            yield
        finally:
            self._needed -= 1

    async def _make(self) -> None:
        try:
            while self._needed:
                await asyncio.to_thread(self._move)
                await asyncio.sleep(INTERVAL_SECONDS)
        except OSError as error:
            logger.debug("starts wait for the kernel: %s", error)
        finally:
            self._runs = False

    async def stop(self) -> None:
        """Need it no longer."""
        await self._tasks.stop()

    def _move(self) -> None:
        descriptor = os.open(self._door, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")
        finally:
            os.close(descriptor)
