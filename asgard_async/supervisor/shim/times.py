"""When which part of a log was written, in a small file of bounded size beside it."""

import os
import sys

from asgard_async.logformat.files import ENTRY_BYTES, TIMES_SUFFIX, read_times

CAPACITY = 8192
"""Entries; with so many, every second one goes."""
INTERVAL_MS = 10
"""How exact it is at first; later about to a 4000th of the time that the log covers."""


class TimeIndex:
    """Writes `<log>.times`. The newest entry is exact; it stays if it tells enough."""

    def __init__(self, path: str) -> None:
        self._path = path + TIMES_SUFFIX
        times = read_times(path)[1::2].tolist()
        self._count = len(times)
        self._before, self._last = ([0, 0, *times])[-2:]
        self._first = times[0] if times else 0
        self._interval = self._wanted_interval()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, offset: int, at_ms: int) -> None:
        """What is written next, from `offset` on, is written at `at_ms`.

        To be called before it is written, so that a reader of the text finds its time. A disk that
        is full costs times, nothing else.
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
        # else the last entry tells hardly more than the one before it, and is written over
        self._last = at_ms
        os.pwrite(self._file, _entry(offset, at_ms), (self._count - 1) * ENTRY_BYTES)

    def _thin(self) -> None:
        entries = os.pread(self._file, CAPACITY * ENTRY_BYTES, 0)
        kept = b"".join(
            entries[start : start + ENTRY_BYTES]
            for start in range(0, len(entries), 2 * ENTRY_BYTES)
        )
        # renamed into place: a reader sees the old entries or the new ones
        thinned = self._path + ".new"
        new = os.open(thinned, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(new, kept, 0)
            os.rename(thinned, self._path)
        except OSError:
            os.close(new)
            raise
        os.close(self._file)
        self._file = new
        self._count = len(kept) // ENTRY_BYTES
        self._interval = self._wanted_interval()

    def _wanted_interval(self) -> int:
        # as far apart as those that are left when every second one has gone: so all are alike
        return max(INTERVAL_MS, 2 * (self._last - self._first) // CAPACITY)

    def close(self) -> None:
        os.close(self._file)


def _entry(offset: int, at_ms: int) -> bytes:
    return offset.to_bytes(8, sys.byteorder) + at_ms.to_bytes(8, sys.byteorder)
