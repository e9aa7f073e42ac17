"""The numbered attempts to run a supervised process: adopting a running one, starting the next.

    <directory>/<n>/    attempt n: lock, pid.json, exit.json

A supervised process outlives the service. A restarted service adopts the latest attempt if it is
still running, so restarts do not interrupt the process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from asgard_async.core.files.remove_tree import entries_within, remove_tree
from asgard_async.domain.names import attempt_number_of, is_valid
from asgard_async.supervisor.attempt import Attempt


class AttemptSeries:
    """The attempts below `directory`, of which at most the latest is running.

    Whoever wants the process to run adopts `running()`, or else calls `start_next()`. All methods
    except `start_next` block for a few file operations.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def latest(self) -> Attempt | None:
        """The attempt with the highest number, running or not."""
        number = self._latest_number()
        return Attempt(self.directory / str(number)) if number else None

    def running(self) -> Attempt | None:
        """The latest attempt if it is still running.

        If the latest attempt was never started, it can no longer be started after this call.
        """
        latest = self.latest()
        return latest if latest is not None and latest.is_alive() else None

    async def start_next(self, start: Callable[[Attempt], Awaitable[object]]) -> Attempt:
        """Create the attempt after the latest one, call `start` with it, and return it.

        Two processes that call this at the same time may get the same attempt; its lock lets only
        one of them start it.
        """
        attempt = await asyncio.to_thread(self._create_next)
        await start(attempt)
        return attempt

    def remove_before(self, attempt: Attempt) -> None:
        """Remove the directories of all attempts before this one."""
        for number in self._numbers():
            if number < int(attempt.directory.name):
                remove_tree(self.directory / str(number))

    def _create_next(self) -> Attempt:
        directory = self.directory / str(self._latest_number() + 1)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Attempt(directory)

    def _latest_number(self) -> int:
        return max(self._numbers(), default=0)

    def _numbers(self) -> list[int]:
        names = entries_within(self.directory)
        return [attempt_number_of(name) for name in names if is_valid(attempt_number_of, name)]
