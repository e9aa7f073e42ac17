"""A build's output in the log of each job that waits for it."""

import asyncio
import contextlib
import os
from pathlib import Path

from asgard_async.execution.shim.pump import Log

COPY_SECONDS = 0.1
"""How often a build's output is looked at: a person reads it, and no job waits for it."""


class JobLogCopy:
    """Copies a build's log to the beginning of a job's, before the job's own shim opens it."""

    def __init__(self, job_log: Path, *, limit_bytes: int) -> None:
        self._job_log = job_log
        self._limit = limit_bytes

    async def follow(self, build_log: Path, done: "asyncio.Future[None]") -> None:
        """Copy what is in `build_log`, and what comes, until `done`; then the rest."""
        offset = await asyncio.to_thread(self._already_copied, build_log)
        while True:
            # looked at before copying: what was written before the end is then copied too
            is_last = done.done()
            offset = await asyncio.to_thread(self._copy, build_log, offset)
            if is_last:
                return
            await asyncio.wait({done}, timeout=COPY_SECONDS)

    def _already_copied(self, build_log: Path) -> int:
        """How much of it an earlier life of the service has copied."""
        with contextlib.suppress(FileNotFoundError):
            copied = self._job_log.read_bytes()
            if build_log.read_bytes().startswith(copied):
                return len(copied)
        return 0

    def _copy(self, build_log: Path, offset: int) -> int:
        try:
            source = os.open(build_log, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return offset
        self._job_log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = Log(str(self._job_log), self._limit)
        try:
            while data := os.pread(source, log.chunk, offset):
                log.write(data)
                offset += len(data)
        finally:
            log.close()
            os.close(source)
        return offset
