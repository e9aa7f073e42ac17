"""Reading of a job's log by offset, by lines from the end, or as a whole.

Offsets count every byte that the job wrote. If the middle was dropped to save disk space, the log
has a hole there. Reading by offset skips the hole; a whole log contains a line in its place.
"""

from collections.abc import AsyncGenerator

from asgard_async.logs.source import LogSlice, LogSource

CHUNK = 256 * 1024


class LogReader:
    """Reads logs of any size from a source; a job without output has an empty log."""

    def __init__(self, source: LogSource) -> None:
        self._source = source

    async def exists(self, job_id: str) -> bool:
        """Return whether a job has a log; see `LogSource.exists`."""
        return await self._source.exists(job_id)

    async def size(self, job_id: str) -> int:
        """Return the number of bytes that the job has written so far, including dropped ones."""
        return await self._source.size(job_id)

    async def read(self, job_id: str, offset: int, limit: int) -> LogSlice:
        """Read at most `limit` bytes from `offset` on; see `LogSource.read`."""
        return await self._source.read(job_id, offset, limit)

    async def tail_bytes(self, job_id: str, count: int) -> LogSlice:
        """Read the last `count` bytes; see `LogSource.tail`."""
        return await self._source.tail(job_id, count)

    async def tail_lines(self, job_id: str, count: int, limit: int = 1 << 20) -> LogSlice:
        """Read the last `count` lines, but at most `limit` bytes."""
        if count <= 0:
            size = await self._source.size(job_id)
            return LogSlice(data=b"", offset=size, next=size)
        size = min(limit, 64 * 1024)
        while True:
            tail = await self._source.tail(job_id, size)
            start = _start_of_lines(tail.data, count)
            if start > 0 or size >= limit or len(tail.data) < size:
                return LogSlice(data=tail.data[start:], offset=tail.offset + start, next=tail.next)
            size = min(limit, size * 4)

    async def pieces(self, job_id: str, start: int, end: int) -> AsyncGenerator[LogSlice, None]:
        """Yield the bytes from `start` up to `end` in pieces, without a hole."""
        offset = start
        while offset < end:
            piece = await self._source.read(job_id, offset, min(CHUNK, end - offset))
            # after a hole, the piece may extend beyond `end`
            data = piece.data[: max(0, end - piece.offset)]
            if not data:
                return
            offset = piece.offset + len(data)
            yield LogSlice(data=data, offset=piece.offset, next=offset)

    async def whole(self, job_id: str, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the log up to `end` (by default its end), with a line in place of a hole."""
        offset = 0
        if end is None:
            end = await self.size(job_id)
        async for piece in self.pieces(job_id, 0, end):
            if piece.offset > offset:
                yield hole_marker(offset, piece.offset)
            yield piece.data
            offset = piece.next


def hole_marker(start: int, end: int) -> bytes:
    """Return the line that replaces the dropped bytes from `start` up to `end`."""
    return f"\n[asgard: {end - start} bytes of output are not kept]\n".encode()


def _start_of_lines(data: bytes, count: int) -> int:
    """Return the start of the last `count` lines; 0 if there are no more than `count` lines."""
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(count):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            return 0
    return position + 1
