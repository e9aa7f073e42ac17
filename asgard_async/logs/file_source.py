"""Logs in files on this machine, which are written by the shim.

A log may have a hole (see supervisor/shim/pump.py). A file beside the log contains the times at
which its parts were written (see logformat/files.py).
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from asgard_async.core.files.regular import open_regular
from asgard_async.domain.names import job_id_of
from asgard_async.logformat.files import read_hole
from asgard_async.logformat.times import parts_by_time
from asgard_async.logs.source import LogSlice, TimedSlice, Wake
from asgard_async.logs.watch import LogWatch


class FileLogSource:
    """A `LogSource` for logs at `directory`/<job_id>/`name`."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._watch = LogWatch(directory)

    def open(self) -> None:
        """Start watching the logs."""
        self._watch.open()

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def path_of(self, job_id: str) -> Path:
        """Return the path of a job's log, which may not exist."""
        return self._directory / job_id_of(job_id) / self._name

    async def exists(self, job_id: str) -> bool:
        """See `LogSource.exists`."""
        return await asyncio.to_thread(os.path.lexists, self.path_of(job_id))

    async def size(self, job_id: str) -> int:
        """See `LogSource.size`."""
        return await asyncio.to_thread(_size, self.path_of(job_id))

    async def read(self, job_id: str, offset: int, limit: int) -> LogSlice:
        """See `LogSource.read`."""
        return await asyncio.to_thread(read_slice, self.path_of(job_id), offset, limit)

    async def read_timed(self, job_id: str, offset: int, limit: int) -> TimedSlice:
        """See `LogSource.read_timed`."""
        return await asyncio.to_thread(read_timed, self.path_of(job_id), offset, limit)

    async def tail(self, job_id: str, count: int) -> LogSlice:
        """See `LogSource.tail`."""
        return await asyncio.to_thread(_tail, self.path_of(job_id), count)

    def watching(self, job_id: str, wake: Wake) -> AbstractContextManager[None]:
        """See `LogSource.watching`."""
        return self._watch.watching(self.path_of(job_id), wake)


def read_slice(path: Path, offset: int, limit: int) -> LogSlice:
    """Read part of the log at `path`; see `LogSource.read`."""
    with _opened(path) as descriptor:
        if descriptor is None:
            return LogSlice(data=b"", offset=0, next=0)
        while True:
            hole, size = read_hole(str(path)), os.fstat(descriptor).st_size
            begin = hole[1] if hole[0] <= offset < hole[1] else offset
            begin = min(begin, size)
            length = min(limit, hole[0] - begin) if begin < hole[0] else limit
            data = os.pread(descriptor, length, begin)
            # A hole is recorded before it is punched, so if it is unchanged, no zeros were read.
            if begin < hole[0] or read_hole(str(path)) == hole:
                end = begin + len(data)
                is_cut = bool(data) and end == hole[0]
                return LogSlice(data=data, offset=begin, next=end, is_cut=is_cut, size=size)


def read_timed(path: Path, offset: int, limit: int) -> TimedSlice:
    """Read part of the log at `path` with its times; see `LogSource.read_timed`."""
    part = read_slice(path, offset, limit)
    parts = tuple(parts_by_time(path, part.offset, part.next)) if part.data else ()
    return TimedSlice(
        data=part.data,
        offset=part.offset,
        next=part.next,
        is_cut=part.is_cut,
        size=part.size,
        parts=parts,
    )


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _tail(path: Path, count: int) -> LogSlice:
    size, hole = _size(path), read_hole(str(path))
    offset = max(0, size - count, hole[1] if hole[1] <= size else 0)
    return read_slice(path, offset, size - offset)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
