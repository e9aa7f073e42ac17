"""From bytes of a log to the frames of its stream; see docs/api.md for what they mean.

A frame stands for bytes `offset` up to `next`. Where it ends depends on when its bytes were
written, and never cuts a character; the text of all frames is that of all bytes.
"""

import codecs
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from asgard_async.execution.shim.log_files import read_times
from asgard_async.logs.reader import read_slice

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Frames of bytes `offset` up to `next`, as JSON; none when there is nothing new."""

    frames: tuple[bytes, ...]
    offset: int
    next: int
    is_gone: bool = False
    """Whether the log ends before `offset`: it was deleted."""


def read_piece(log: Path, offset: int, *, is_complete: bool) -> Piece:
    """What follows `offset`, up to PIECE_BYTES of it.

    While the log may grow (not `is_complete`), a character of which only a part is there waits for
    its rest.
    """
    part = read_slice(log, offset, PIECE_BYTES)
    if part.size < offset:
        return Piece(frames=(), offset=offset, next=offset, is_gone=True)
    frames = []
    if part.offset > offset:
        gap = {"type": "gap", "offset": offset, "next": part.offset}
        frames.append(msgspec.json.encode(gap))
    end = part.offset
    if part.data:
        at_end = part.is_cut or (is_complete and part.next >= part.size)
        for frame in _text_frames(log, part.data, part.offset, at_end=at_end):
            frames.append(msgspec.json.encode(frame))
            end = frame["next"]
    return Piece(frames=tuple(frames), offset=offset, next=end)


def _text_frames(log: Path, data: bytes, offset: int, *, at_end: bool) -> Iterator[dict[str, Any]]:
    times = read_times(str(log))
    offsets = times[::2]
    first = bisect_right(offsets, offset)
    last = bisect_right(offsets, offset + len(data) - 1, lo=first)
    begin = 0
    for number in range(first, last + 1):
        end = offsets[number] - offset if number < last else len(data)
        final = at_end and end == len(data)
        text, taken = codecs.utf_8_decode(data[begin:end], "replace", final)
        if taken:
            yield {
                "type": "log",
                "offset": offset + begin,
                "next": offset + begin + taken,
                "data": text,
                "time": _rfc3339(times[2 * number - 1]) if number else None,
            }
        begin += taken


def _rfc3339(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
