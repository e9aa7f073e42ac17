"""Logs of the plain executor: a file for each job, polled for changes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asgard_async.logs.source import LogSlice, TimedSlice, Wake

POLL_SECONDS = 0.02


class PlainLogs:
    """A `LogSource` of files without holes and times."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path_of(self, job_id: str) -> Path:
        return self._directory / f"{job_id}.txt"

    async def exists(self, job_id: str) -> bool:
        return self.path_of(job_id).exists()

    async def size(self, job_id: str) -> int:
        return len(self._bytes(job_id))

    async def read(self, job_id: str, offset: int, limit: int) -> LogSlice:
        return await self.read_timed(job_id, offset, limit)

    async def read_timed(self, job_id: str, offset: int, limit: int) -> TimedSlice:
        whole = self._bytes(job_id)
        start = min(offset, len(whole))
        data = whole[start : start + limit]
        end = start + len(data)
        return TimedSlice(
            data=data,
            offset=start,
            next=end,
            size=len(whole),
            parts=[(end, None)] if data else [],
        )

    async def tail(self, job_id: str, count: int) -> LogSlice:
        size = await self.size(job_id)
        return await self.read(job_id, max(0, size - count), count)

    @contextmanager
    def watching(self, job_id: str, wake: Wake) -> Iterator[None]:
        polling = asyncio.create_task(self._poll(job_id, wake))
        try:
            yield
        finally:
            polling.cancel()

    async def _poll(self, job_id: str, wake: Wake) -> None:
        size = await self.size(job_id)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if (now := await self.size(job_id)) != size:
                size = now
                wake()

    def _bytes(self, job_id: str) -> bytes:
        try:
            return self.path_of(job_id).read_bytes()
        except FileNotFoundError:
            return b""
