"""Division of a log into parts by the time of writing."""

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from asgard_async.logformat.files import read_times

TOGETHER_MS = 10
"""Output within this many milliseconds forms one part."""


def parts_by_time(log: Path, offset: int, end: int) -> Iterator[tuple[int, int | None]]:
    """Divide the bytes from `offset` up to `end` into parts; yield the end and time of each.

    Times are in milliseconds since 1970, or None if unknown.
    """
    times = read_times(str(log))
    offsets = times[::2]
    first = bisect_right(offsets, offset)
    at = times[2 * first - 1] if first else None
    for number in range(first, bisect_right(offsets, end - 1, lo=first)):
        next_at = times[2 * number + 1]
        if at is not None and next_at - at < TOGETHER_MS:
            continue
        if offsets[number] > offset:  # else the output of the previous entry was never written
            yield offsets[number], at
        offset, at = offsets[number], next_at
    yield end, at
