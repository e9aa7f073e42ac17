"""Frames of a log's stream, created from the bytes of the log; docs/api.md describes them.

A frame contains the bytes from `offset` up to `next`. Frames end where the time of writing changes,
but never inside a character. Together, they contain the text of all bytes.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from asgard_async.core.timestamps import rfc3339_of_ms
from asgard_async.logs.source import TimedSlice

PIECE_BYTES = 64 * 1024
PIECE_FRAMES = 64
"""Maximum number of frames in a piece. All are sent at once, while other requests wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Frames of the bytes from `offset` up to `next`, as JSON; empty if there is no new output."""

    frames: tuple[bytes, ...]
    offset: int
    next: int
    reaches_end: bool = False
    """True if the log had no more data when it was read."""
    is_gone: bool = False
    """True if the log ends before `offset`: it was deleted."""


def piece_of(part: TimedSlice, offset: int, *, is_complete: bool) -> Piece:
    """Create the piece at `offset` from the slice that was read there, with up to PIECE_FRAMES.

    While the log may grow (not `is_complete`), an incomplete character is left for the next piece.
    """
    if part.size < offset:
        return Piece(frames=(), offset=offset, next=offset, is_gone=True)
    frames = []
    if part.offset > offset:
        gap = {"type": "gap", "offset": offset, "next": part.offset}
        frames.append(msgspec.json.encode(gap))
    end, texts = part.offset, 0
    if part.data:
        at_end = part.is_cut or (is_complete and part.next >= part.size)
        for frame in islice(_text_frames(part, at_end=at_end), PIECE_FRAMES):
            frames.append(msgspec.json.encode(frame))
            end, texts = frame["next"], texts + 1
    # apart from the first bytes of an incomplete character
    reaches_end = part.next >= part.size and texts < PIECE_FRAMES
    return Piece(frames=tuple(frames), offset=offset, next=end, reaches_end=reaches_end)


def _text_frames(part: TimedSlice, *, at_end: bool) -> Iterator[dict[str, Any]]:
    begin = 0
    for part_end, at_ms in part.parts:
        end = part_end - part.offset
        # the beginning of a character that was written in two parts is left for the next frame
        is_last = at_end and end == len(part.data)
        text, consumed = codecs.utf_8_decode(part.data[begin:end], "replace", is_last)
        if consumed:
            yield {
                "type": "log",
                "offset": part.offset + begin,
                "next": part.offset + begin + consumed,
                "data": text,
                "time": rfc3339_of_ms(at_ms) if at_ms is not None else None,
            }
        begin += consumed
