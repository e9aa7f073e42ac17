"""Copying of a build's output to the log of each job that waits for the build."""

import asyncio
import contextlib
import os
from pathlib import Path

from asgard_async.logformat.times import parts_by_time
from asgard_async.supervisor.shim.pump import Log

COPY_SECONDS = 0.1
"""The polling interval, which is short enough for people who read the output."""
BLOCK_BYTES = 1 << 16


class JobLogCopy:
    """Copies a build's log to the start of a job's log, before the job's own shim opens it."""

    def __init__(self, job_log: Path, *, limit_bytes: int) -> None:
        self._job_log = job_log
        self._limit = limit_bytes

    async def follow(self, build_log: Path, done: "asyncio.Future[None]") -> None:
        """Copy the content of `build_log`, present and future, until `done` and then to its end."""
        offset = await asyncio.to_thread(self._already_copied, build_log)
        while True:
            # checked before copying, so that output from just before the end is copied, too
            is_last = done.done()
            copying = asyncio.ensure_future(asyncio.to_thread(self._copy, build_log, offset))
            try:
                offset = await asyncio.shield(copying)
            except asyncio.CancelledError:
                await asyncio.wait({copying})  # nothing may be written once the job continues
                raise
            if is_last:
                return
            await asyncio.wait({done}, timeout=COPY_SECONDS)

    def _already_copied(self, build_log: Path) -> int:
        """Return the number of bytes that an earlier service process has copied."""
        with (
            contextlib.suppress(FileNotFoundError),
            self._job_log.open("rb") as copied,
            build_log.open("rb") as output,
        ):
            while part := copied.read(BLOCK_BYTES):
                if output.read(len(part)) != part:
                    return 0
            return copied.tell()
        return 0

    def _copy(self, build_log: Path, offset: int) -> int:
        try:
            source = os.open(build_log, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return offset
        try:
            if os.fstat(source).st_size > offset:  # otherwise the job's log stays closed
                offset = self._append(source, build_log, offset)
        finally:
            os.close(source)
        return offset

    def _append(self, source: int, build_log: Path, offset: int) -> int:
        self._job_log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = Log(str(self._job_log), self._limit)
        try:
            while data := os.pread(source, log.chunk, offset):
                # each part keeps the time at which the build wrote it
                begin, end = 0, offset + len(data)
                for part_end, at_ms in parts_by_time(build_log, offset, end):
                    log.write(data[begin : part_end - offset], at_ms)
                    begin = part_end - offset
                offset = end
        finally:
            log.close()
        return offset
