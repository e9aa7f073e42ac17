"""Reading a job's log: by offset, by lines from the end, or whole. Files of any size.

Offsets count every byte that the job wrote. Where the middle was dropped to bound the disk (see
execution/shim/pump.py) there is a hole: reading by offset skips it, whole-text views show a line.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asgard_async.logformat.files import read_hole

CHUNK = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class LogSlice:
    """Bytes `offset` up to `next` of a log."""

    data: bytes
    offset: int
    next: int
    is_cut: bool = False
    """Whether the hole begins at `next`."""
    size: int = 0
    """How long the log is, when that was looked at."""


class LogReader:
    """Reads the logs of jobs; a job without output has an empty one."""

    def __init__(self, log_of: Callable[[str], Path]) -> None:
        self._log_of = log_of

    async def size(self, job_id: str) -> int:
        """How many bytes the job has written so far, dropped ones included."""
        return await asyncio.to_thread(_size, self._log_of(job_id))

    async def read(self, job_id: str, offset: int, limit: int) -> LogSlice:
        """At most `limit` bytes from `offset` on; from the hole's end on if that lies in it.

        Fewer come at the end of the log and before the hole.
        """
        return await asyncio.to_thread(read_slice, self._log_of(job_id), offset, limit)

    async def tail_bytes(self, job_id: str, count: int) -> LogSlice:
        """The last `count` bytes, fewer where the log is shorter or the hole comes before."""
        return await asyncio.to_thread(_tail_bytes, self._log_of(job_id), count)

    async def tail_lines(self, job_id: str, count: int, limit: int = 1 << 20) -> LogSlice:
        """The last `count` lines, at most `limit` bytes of them."""
        return await asyncio.to_thread(_tail_lines, self._log_of(job_id), count, limit)

    async def pieces(self, job_id: str, start: int, end: int) -> AsyncGenerator[LogSlice, None]:
        """Bytes `start` up to `end` in pieces; where a hole is, the offset jumps."""
        path, offset = self._log_of(job_id), start
        while offset < end:
            piece = await asyncio.to_thread(read_slice, path, offset, min(CHUNK, end - offset))
            # behind a hole it may reach further than was asked for
            data = piece.data[: max(0, end - piece.offset)]
            if not data:
                return
            offset = piece.offset + len(data)
            yield LogSlice(data=data, offset=piece.offset, next=offset)

    async def whole(self, job_id: str, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The log up to `end` (its present one) in pieces, with a line that tells of the hole."""
        offset = 0
        if end is None:
            end = await self.size(job_id)
        async for piece in self.pieces(job_id, 0, end):
            if piece.offset > offset:
                yield hole_marker(offset, piece.offset)
            yield piece.data
            offset = piece.next


def hole_marker(start: int, end: int) -> bytes:
    """The line that whole-text views show where bytes `start` up to `end` are not kept."""
    return f"\n[asgard: {end - start} bytes of output are not kept]\n".encode()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def read_slice(path: Path, offset: int, limit: int) -> LogSlice:
    """See `LogReader.read`."""
    with _opened(path) as descriptor:
        if descriptor is None:
            return LogSlice(data=b"", offset=0, next=0)
        while True:
            hole, size = read_hole(str(path)), os.fstat(descriptor).st_size
            begin = hole[1] if hole[0] <= offset < hole[1] else offset
            begin = min(begin, size)
            length = min(limit, hole[0] - begin) if begin < hole[0] else limit
            data = os.pread(descriptor, length, begin)
            # the hole is told before it is made: unchanged means that no zeros were read
            if begin < hole[0] or read_hole(str(path)) == hole:
                end = begin + len(data)
                is_cut = bool(data) and end == hole[0]
                return LogSlice(data=data, offset=begin, next=end, is_cut=is_cut, size=size)


def _tail_bytes(path: Path, count: int) -> LogSlice:
    size, hole = _size(path), read_hole(str(path))
    offset = max(0, size - count, hole[1] if hole[1] <= size else 0)
    return read_slice(path, offset, size - offset)


def _tail_lines(path: Path, count: int, limit: int) -> LogSlice:
    tail = LogSlice(data=b"", offset=0, next=0)
    if count <= 0:
        size = _size(path)
        return LogSlice(data=b"", offset=size, next=size)
    wanted = min(limit, 64 * 1024)
    while True:
        tail = _tail_bytes(path, wanted)
        start = _start_of_lines(tail.data, count)
        if start > 0 or wanted >= limit or len(tail.data) < wanted:
            return LogSlice(data=tail.data[start:], offset=tail.offset + start, next=tail.next)
        wanted = min(limit, wanted * 4)


def _start_of_lines(data: bytes, count: int) -> int:
    """Where the last `count` lines begin; 0 when there are not more lines than that."""
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(count):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            return 0
    return position + 1


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
