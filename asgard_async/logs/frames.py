"""From bytes of a log to the frames of its stream; see docs/api.md for what they mean.

A frame stands for bytes `offset` up to `next`. Where it ends depends on when its bytes were
written, and never cuts a character; the text of all frames is that of all bytes.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from asgard_async.core.timestamps import rfc3339_of_ms
from asgard_async.logformat.times import parts_by_time
from asgard_async.logs.reader import read_slice

PIECE_BYTES = 64 * 1024
PIECE_FRAMES = 64
"""At most: they are sent in one go, and others wait meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Frames of bytes `offset` up to `next`, as JSON; none when there is nothing new."""

    frames: tuple[bytes, ...]
    offset: int
    next: int
    reaches_end: bool = False
    """Whether there was nothing more to be told when it was read."""
    is_gone: bool = False
    """Whether the log ends before `offset`: it was deleted."""


def read_piece(log: Path, offset: int, *, is_complete: bool) -> Piece:
    """What follows `offset`, up to PIECE_BYTES of it in PIECE_FRAMES.

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
    end, texts = part.offset, 0
    if part.data:
        at_end = part.is_cut or (is_complete and part.next >= part.size)
        text_frames = _text_frames(log, part.data, part.offset, at_end=at_end)
        for frame in islice(text_frames, PIECE_FRAMES):
            frames.append(msgspec.json.encode(frame))
            end, texts = frame["next"], texts + 1
    # but for the first bytes of a character
    reaches_end = part.next >= part.size and texts < PIECE_FRAMES
    return Piece(frames=tuple(frames), offset=offset, next=end, reaches_end=reaches_end)


def _text_frames(log: Path, data: bytes, offset: int, *, at_end: bool) -> Iterator[dict[str, Any]]:
    begin = 0
    for part_end, at_ms in parts_by_time(log, offset, offset + len(data)):
        end = part_end - offset
        # the first half of a character that was written in two waits for the second
        is_last = at_end and end == len(data)
        text, taken = codecs.utf_8_decode(data[begin:end], "replace", is_last)
        if taken:
            yield {
                "type": "log",
                "offset": offset + begin,
                "next": offset + begin + taken,
                "data": text,
                "time": rfc3339_of_ms(at_ms) if at_ms is not None else None,
            }
        begin += taken
