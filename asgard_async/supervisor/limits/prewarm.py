"""Prewarming of the kernel, so that processes enter control groups without delay.

Before the first process in a while is moved, the kernel waits until all CPUs have passed a
quiescent state (RCU): 10 to 20 ms, which would delay every start of a job. For as long again after
a move, the next ones are free. So while a job is being started, the service keeps moving itself to
the group that it is in.
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
"""Well below the time for which moves stay free."""


class CgroupPrewarm:
    """Keeps moves free on demand; `procs` is the file cgroup.procs of this process's own group."""

    def __init__(self, procs: Path) -> None:
        self._procs = procs
        self._users = 0
        self._is_running = False
        self._tasks = BackgroundTasks()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A context in which moves soon become free."""
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
            logger.debug("jobs wait for the kernel to enter their control groups: %s", error)
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
