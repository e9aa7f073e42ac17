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

    All methods except `adopt_or_start` block for a few file operations.
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

    def create_next(self) -> Attempt:
        """Create the directory of the attempt after the latest one.

        Two processes that call this at the same time may get the same attempt; its lock lets only
        one of them start it.
        """
        directory = self.directory / str(self._latest_number() + 1)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Attempt(directory)

    async def adopt_or_start(self, start: Callable[[Attempt], Awaitable[object]]) -> Attempt:
        """Return the running attempt, or a new one on which `start` has been called."""
        attempt = await asyncio.to_thread(self.running)
        if attempt is None:
            attempt = await asyncio.to_thread(self.create_next)
            await start(attempt)
        return attempt

    def remove_before(self, attempt: Attempt) -> None:
        """Remove the directories of all attempts before this one."""
        for number in self._numbers():
            if number < int(attempt.directory.name):
                remove_tree(self.directory / str(number))

    def _latest_number(self) -> int:
        return max(self._numbers(), default=0)

    def _numbers(self) -> list[int]:
        names = entries_within(self.directory)
        return [attempt_number_of(name) for name in names if is_valid(attempt_number_of, name)]
