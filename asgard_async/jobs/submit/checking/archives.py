"""Checking archives, each in a separate process with limits and a deadline.

Inside the service process, a hostile archive could exhaust the memory, hold the GIL or cause a
crash.
"""

import asyncio
import logging
import marshal
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.core.archives.unpack import ArchivedProgram
from asgard_async.core.fair_semaphore import FairSemaphore, SemaphoreUnavailable
from asgard_async.domain.errors import InvalidSubmission, TooManyChecks
from asgard_async.jobs.submit.checking.process import CheckingProcess

logger = logging.getLogger(__name__)

PROGRAM = Path(__file__).parent / "archive_program.py"
PROCESSES = 2


class ArchiveChecker:
    """Checks that archives can be unpacked safely, and reads their entrypoints."""

    def __init__(
        self,
        *,
        limits: ArchiveLimits,
        max_script_bytes: int,
        deadline_seconds: float,
        max_waiting: int,
    ) -> None:
        self._limits = limits
        self._max_script_bytes = max_script_bytes
        self._deadline = deadline_seconds
        self._semaphore = FairSemaphore(
            PROCESSES, max_waiting=max_waiting, max_wait_seconds=deadline_seconds
        )

    async def program_in(self, entrypoint: str, archive: Path, owner: str = "") -> ArchivedProgram:
        """Check every member of an archive and return the facts of its program.

        Raises:
            InvalidSubmission: a member is refused, the entrypoint is missing, or the archive cannot
                be read in time.
            TooManyChecks: too many checks are waiting, in total or of this owner.
        """
        request = {
            "archive": str(archive),
            "entrypoint": entrypoint,
            "max_bytes": self._max_script_bytes,
            **asdict(self._limits),
        }
        try:
            async with self._semaphore.hold(owner):
                answer = await self._ask(marshal.dumps(request, 2))
        except SemaphoreUnavailable as error:
            raise TooManyChecks from error
        if "error" in answer:
            raise InvalidSubmission({answer["field"]: [answer["error"]]})
        imports = answer["imports"]
        return ArchivedProgram(answer["source"], None if imports is None else frozenset(imports))

    async def _ask(self, request: bytes) -> dict[str, Any]:
        process = await CheckingProcess.start(PROGRAM)
        try:
            async with asyncio.timeout(self._deadline):
                return await process.ask(request)
        except TimeoutError:
            logger.warning("checking an archive timed out")
            error = f"The archive could not be checked in {self._deadline:g} s."
        except (asyncio.IncompleteReadError, ConnectionError) as failure:
            logger.warning("an archive crashed the process that checked it: %r", failure)
            error = "The archive could not be checked; create it again."
        finally:
            await process.kill()
        return {"error": error, "field": "archive"}
