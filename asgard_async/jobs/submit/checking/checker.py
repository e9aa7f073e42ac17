"""Checking scripts: a small pool of processes, with a limit on the time for each script.

The limit is one of processor time: on a busy machine, a process may wait for seconds before it does
anything, and that is not the script's fault.
"""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

from asgard_async.core.fair_semaphore import FairSemaphore, SemaphoreUnavailable
from asgard_async.domain.errors import InvalidSubmission, TooManyChecks
from asgard_async.jobs.submit.checking.process import CheckingProcess
from asgard_async.jobs.submit.checking.processor_time import ProcessorTimeLimit

logger = logging.getLogger(__name__)

COMPILER = Path(__file__).parent / "compiler.py"
PROCESSES = 2
MAX_WAIT_SECONDS = 60.0
"""Longest wait for a process or its answer; clients do not wait longer for a response."""


class ScriptChecker:
    """Checks that scripts compile, and finds their imports."""

    def __init__(self, *, deadline_seconds: float, max_waiting: int) -> None:
        self._deadline = deadline_seconds
        self._semaphore = FairSemaphore(
            PROCESSES,
            max_waiting=max_waiting,
            max_wait_seconds=MAX_WAIT_SECONDS,
        )
        self._idle: list[CheckingProcess] = []

    async def imports_of(self, script: bytes, owner: str = "") -> frozenset[str] | None:
        """Return the top-level packages that `script` imports; None if it is too large to search.

        Raises:
            InvalidSubmission: the script does not compile, or not within the limit.
            TooManyChecks: too many checks are waiting, in total or of this owner, or the machine
                is too busy for this one.
        """
        try:
            async with self._semaphore.hold(owner):
                answer = await self._ask(script)
        except (SemaphoreUnavailable, TimeoutError) as error:
            raise TooManyChecks from error
        if answer is None:
            raise InvalidSubmission(
                {
                    "script_content": [
                        f"The script could not be compiled in {self._deadline:g} s; simplify it."
                    ]
                }
            )
        if "error" in answer:
            raise InvalidSubmission({"script_content": [answer["error"]]})
        return None if answer["imports"] is None else frozenset(answer["imports"])

    async def _ask(self, script: bytes) -> dict[str, Any] | None:
        # an idle process may have been killed meanwhile; a new one exits only because of its script
        while self._idle:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                return await self._ask_process(self._idle.pop(), script)
        try:
            return await self._ask_process(await CheckingProcess.start(COMPILER), script)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            logger.warning("a script crashed the process that compiled it: %r", error)
            return None

    async def _ask_process(self, process: CheckingProcess, script: bytes) -> dict[str, Any] | None:
        """Return the answer; None if the script takes more processor time than allowed.

        Raises:
            TimeoutError: the process got too little processor time.
        """
        is_last = True
        limit = ProcessorTimeLimit(process.cpu_seconds, self._deadline, MAX_WAIT_SECONDS)
        try:
            async with limit:
                answer = await process.ask(script)
            is_last = answer["last"]
            return answer
        except TimeoutError:
            if not limit.is_used_up:
                raise
            logger.warning("compiling a script timed out")
            return None
        finally:
            if is_last:
                await process.kill()
            else:
                self._idle.append(process)

    async def close(self) -> None:
        """Kill the idle processes."""
        while self._idle:
            await self._idle.pop().kill()
