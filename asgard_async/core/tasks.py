"""Tasks that live beside the requests: named, watched, cancelled in one place."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1.0


class BackgroundTasks:
    """Owner of background tasks. None of them ends unseen, none outlives `stop`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` once; what it raises is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def keep_running(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a loop for as long as the service lives; one that crashes is started again."""
        self.start(name, _again_and_again(name, work))

    def cancel(self, name: str) -> None:
        """Have the tasks of that name end, without waiting for them."""
        for task in self._tasks:
            if task.get_name() == name:
                task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s failed", task.get_name(), exc_info=error)

    async def join(self) -> None:
        """Wait until no task is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self, name: str | None = None) -> None:
        """Cancel the tasks of that name, or all of them, and wait for them."""
        tasks = [task for task in self._tasks if name in {None, task.get_name()}]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            logger.exception("task %s failed and is started again", name)
        await asyncio.sleep(RESTART_SECONDS)
