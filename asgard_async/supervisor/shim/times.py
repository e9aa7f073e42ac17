"""The times at which the parts of a log were written, in a small bounded file beside the log."""

import os
import sys

from asgard_async.logformat.files import ENTRY_BYTES, TIMES_SUFFIX, read_times

CAPACITY = 8192
"""The maximum number of entries; when it is reached, every second entry is dropped."""
INTERVAL_MS = 10
"""The initial resolution; later, it is about 1/4000 of the time that the log covers."""


class TimeIndex:
    """Writes `<log>.times`.

    The newest entry is exact. It is kept if it is far enough from the previous one.
    """

    def __init__(self, path: str) -> None:
        self._path = path + TIMES_SUFFIX
        times = read_times(path)[1::2].tolist()
        self._count = len(times)
        self._before, self._last = ([0, 0, *times])[-2:]
        self._first = times[0] if times else 0
        self._interval = self._next_interval()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, offset: int, at_ms: int) -> None:
        """Record that output from `offset` on is written at `at_ms`.

        Call this before writing the output, so that readers of the output find its time. If the
        disk is full, only times are lost.
        """
        try:
            self._note(offset, at_ms)
        except OSError:
            pass

    def _note(self, offset: int, at_ms: int) -> None:
        if self._count == 0 or self._last - self._before >= self._interval:
            if self._count == CAPACITY:
                self._thin()
            self._first = self._first or at_ms
            self._count += 1
            self._before = self._last
        # otherwise the last entry is so close to the previous one that it is overwritten
        self._last = at_ms
        os.pwrite(self._file, _entry(offset, at_ms), (self._count - 1) * ENTRY_BYTES)

    def _thin(self) -> None:
        entries = os.pread(self._file, CAPACITY * ENTRY_BYTES, 0)
        remaining = b"".join(
            entries[start : start + ENTRY_BYTES]
            for start in range(0, len(entries), 2 * ENTRY_BYTES)
        )
        # renamed into place, so that a reader sees either the old entries or the new ones
        thinned = self._path + ".new"
        new = os.open(thinned, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(new, remaining, 0)
            os.rename(thinned, self._path)
        except OSError:
            os.close(new)
            raise
        os.close(self._file)
        self._file = new
        self._count = len(remaining) // ENTRY_BYTES
        self._interval = self._next_interval()

    def _next_interval(self) -> int:
        # the distance of entries after dropping every second one, so that all distances are similar
        return max(INTERVAL_MS, 2 * (self._last - self._first) // CAPACITY)

    def close(self) -> None:
        os.close(self._file)


def _entry(offset: int, at_ms: int) -> bytes:
    return offset.to_bytes(8, sys.byteorder) + at_ms.to_bytes(8, sys.byteorder)
