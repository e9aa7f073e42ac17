"""Prewarming of the kernel, so that processes enter control groups without delay.

If no process has been moved for a while, the kernel first waits until all CPUs have passed a
quiescent state (RCU). This takes 10 to 20 ms and would delay every start of a job. For the same
time after a move, further moves are immediate. So while a job is being started, the service
repeatedly moves itself to the group that it is already in.
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
"""Well below the time for which moves stay immediate."""


class CgroupPrewarm:
    """Keeps moves immediate on demand; `procs` is the cgroup.procs file of this process's group."""

    def __init__(self, procs: Path) -> None:
        self._procs = procs
        self._users = 0
        self._is_running = False
        self._tasks = BackgroundTasks()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keep moves immediate inside the context, from shortly after it is entered."""
        self._users += 1
        if not self._is_running:
            self._is_running = True
            self._tasks.start("cgroup prewarm", self._run())
        try:
            yield
        finally:
            self._users -= 1

    async def _run(self) -> None:
        try:
            while self._users:
                await asyncio.to_thread(self._move)
                await asyncio.sleep(INTERVAL_SECONDS)
        except OSError as error:
            logger.debug("cannot prewarm control groups, so jobs start more slowly: %s", error)
        finally:
            self._is_running = False

    async def stop(self) -> None:
        """Stop prewarming."""
        await self._tasks.stop()

    def _move(self) -> None:
        descriptor = os.open(self._procs, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")
        finally:
            os.close(descriptor)
