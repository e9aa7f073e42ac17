"""The job's log: output from the pipe is written to a file with bounded disk usage.

The beginning, up to half of the limit, and the end, at least a quarter of the limit, are kept. The
part between them is punched out of the file, so offsets never change. See logformat/files.py for
the accompanying files.
"""

import os
import sys
import time

from asgard_async.logformat.files import HOLE_SUFFIX, read_hole

from . import linux
from .times import TimeIndex

BLOCK = 4096
PIPE_BYTES = 256 * 1024
"""The capacity of the pipe, and thus the maximum size of a read; the default is 64 KiB."""


class Log:
    """Writes a job's log. If the disk is full, output is lost but the job continues."""

    def __init__(self, path: str, limit: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._path = path
        self._file = os.open(path, flags, 0o600)
        self._hole_file = -1
        self._size = os.fstat(self._file).st_size  # keeps an earlier attempt's output
        self._times = TimeIndex(path)
        self._half = limit // 2 // BLOCK * BLOCK
        self._hole_end = max(self._half, read_hole(path)[1])
        self.chunk = min(PIPE_BYTES, max(BLOCK, self._half // 4))
        """The maximum size of a write, which guarantees the limit."""

    def write(self, data: bytes, at_ms: "int | None" = None) -> None:
        """Append at most `chunk` bytes, dated `at_ms` (since 1970) or now."""
        view = memoryview(data)
        try:
            self._punch_hole(len(data))
            if data:
                self._times.note(self._size, _now_ms() if at_ms is None else at_ms)
            while view:
                written = os.write(self._file, view)
                self._size += written
                view = view[written:]
        except OSError as error:
            _report(f"{len(view)} bytes of output lost: {error}")

    def _punch_hole(self, needed: int) -> None:
        if self._size - self._hole_end + needed <= self._half:
            return
        # half of the end at once, to need few calls
        end = (self._size - self._half // 2) // BLOCK * BLOCK
        if self._hole_file < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            self._hole_file = os.open(self._path + HOLE_SUFFIX, flags, 0o600)
        # recorded before it exists, so that no reader takes the hole's zeros for output
        os.pwrite(self._hole_file, f"{self._half:20d} {end:20d}\n".encode(), 0)
        linux.punch_hole(self._file, self._hole_end, end - self._hole_end)
        self._hole_end = end

    def close(self) -> None:
        """Make the log durable and close it."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            _report(f"the log may be incomplete: {error}")
        os.close(self._file)
        self._times.close()
        if self._hole_file >= 0:
            os.close(self._hole_file)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _report(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
    except OSError:
        pass  # stderr goes to a file on the same disk
