"""Background tasks, which are named, monitored and cancelled in one place."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from asgard_async.core.backoff import Backoff
from asgard_async.core.restart import Restart, run_with_restarts

logger = logging.getLogger(__name__)

RESTARTS = Backoff(first_seconds=1.0, longest_seconds=60.0, healthy_seconds=60.0)
"""Pauses before a failed task is restarted, by default."""


class BackgroundTasks:
    """Runs background tasks, logs their failures, and cancels them on `stop`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` once; log its exception if it fails."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def keep_running(
        self,
        name: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        *,
        backoff: Backoff = RESTARTS,
    ) -> None:
        """Run a loop until `stop`; restart it if it fails, after a pause that `backoff` decides."""
        failure: Exception | None = None

        async def run() -> Restart:
            nonlocal failure
            failure = None
            try:
                await work()
            except Exception as error:
                failure = error
            return Restart.AFTER_PAUSE

        async def report(pause: float) -> None:
            if failure is not None:
                logger.error("task %s failed; restarting it in %g s", name, pause, exc_info=failure)

        self.start(name, run_with_restarts(run, backoff, before_pause=report))

    def cancel(self, name: str) -> None:
        """Cancel the tasks with this name without waiting for them."""
        for task in self._tasks:
            if task.get_name() == name:
                task.cancel()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s failed", task.get_name(), exc_info=error)

    async def join(self) -> None:
        """Wait until no task is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self, name: str | None = None) -> None:
        """Cancel the tasks with this name, or all of them, and wait for them."""
        tasks = [task for task in self._tasks if name in {None, task.get_name()}]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
