"""Frames of a log: every byte once and no character cut, whatever the job writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgard_async.logs.file_source import read_timed
from asgard_async.logs.frames import PIECE_BYTES, PIECE_FRAMES, Piece, piece_of
from asgard_async.supervisor.shim.pump import Log
from tests.support.written_logs import HALF, LIMIT, write, write_at

Frame = dict[str, Any]


def read_piece(log: Path, offset: int, *, is_complete: bool) -> Piece:
    part = read_timed(log, offset, PIECE_BYTES)
    return piece_of(part, offset, is_complete=is_complete)


class Reader:
    """Reads all available frames and checks that they follow each other."""

    def __init__(self, log: Path, offset: int = 0) -> None:
        self.log = log
        self.offset = offset
        self.frames: list[Frame] = []

    def read(self, *, is_complete: bool = False) -> "Reader":
        while (piece := read_piece(self.log, self.offset, is_complete=is_complete)).frames:
            assert len(piece.frames) <= PIECE_FRAMES + 1
            for frame in map(json.loads, piece.frames):
                assert frame["offset"] == self.offset
                assert frame["next"] > frame["offset"]
                self.offset = frame["next"]
                self.frames.append(frame)
            assert piece.next == self.offset
        return self

    @property
    def text(self) -> str:
        return "".join(frame["data"] for frame in self.frames if frame["type"] == "log")


HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace")),
        st.sampled_from(
            [b"\xe2", b"\x82\xac", b"\xf0\x9f", b"\x98\x80", b"\xed\xa0\x80", b"\0\r\n"]
        ),
        st.binary(max_size=4),
    ),
    max_size=12,
)


@given(writes=HOSTILE, gaps=st.lists(st.integers(0, 30), min_size=12, max_size=12))
def test_write_boundaries_do_not_change_the_text(
    writes: Sequence[bytes], gaps: Sequence[int]
) -> None:
    """Reading after each write and reading once at the end yield the same text without gaps."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "job.log"
        writer, live, at = Log(str(log), LIMIT), Reader(log), 1_000
        for data, gap in zip(writes, gaps, strict=False):
            at += gap
            writer.write(data, at)
            live.read()
        writer.close()
        whole = b"".join(writes)
        live.read(is_complete=True)
        replay = Reader(log).read(is_complete=True)
        assert live.text == replay.text == whole.decode("utf-8", "replace")
        assert live.offset == replay.offset == len(whole)
        for frame in replay.frames:  # reading from each `next` on yields exactly the rest
            rest = Reader(log, frame["next"]).read(is_complete=True)
            assert replay.text.endswith(rest.text)
            assert rest.offset == len(whole)
        ends = [
            len(live.text) - len(Reader(log, f["next"]).read(is_complete=True).text)
            for f in live.frames
        ]
        lengths = [
            len("".join(f["data"] for f in live.frames[: n + 1])) for n in range(len(live.frames))
        ]
        assert ends == lengths


@pytest.mark.parametrize("text", ["é", "€", "😀", "👩‍🔬 naïve"])
def test_a_partial_character_waits_for_its_rest(log: Path, text: str) -> None:
    data = text.encode()
    for cut in range(1, len(data)):
        log.unlink(missing_ok=True)
        write(log, data[:cut])
        reader = Reader(log).read()
        assert "\ufffd" not in reader.text
        assert text.startswith(reader.text)
        write(log, data[cut:])
        assert reader.read().text == text


def test_an_incomplete_character_is_sent_at_the_end(log: Path) -> None:
    write(log, b"a\xe2\x82")
    reader = Reader(log).read()
    assert reader.text == "a"
    assert reader.read(is_complete=True).text == "a\ufffd"
    assert reader.offset == 3


def test_a_character_at_a_piece_boundary_is_not_split(log: Path) -> None:
    for shift in range(4):
        log.write_bytes(b"x" * (PIECE_BYTES - shift) + "😀".encode() + b"y")
        assert Reader(log).read().text == "x" * (PIECE_BYTES - shift) + "😀y"


def test_a_hole_becomes_a_gap(log: Path) -> None:
    data = b"".join(b"%07d\n" % n for n in range(100_000))
    write(log, data)
    reader = Reader(log).read(is_complete=True)
    (gap,) = [frame for frame in reader.frames if frame["type"] == "gap"]
    assert gap.keys() == {"type", "offset", "next"}
    assert gap["offset"] == HALF
    assert reader.text == (data[:HALF] + data[gap["next"] :]).decode()
    assert reader.offset == len(data)


def test_reading_may_start_inside_a_hole(log: Path) -> None:
    write(log, b"x" * (3 * LIMIT))
    reader = Reader(log, HALF + 5).read()
    assert reader.frames[0]["type"] == "gap"
    assert reader.frames[0]["offset"] == HALF + 5
    assert reader.offset == 3 * LIMIT


def test_a_character_cut_by_a_hole_does_not_wait(log: Path) -> None:
    write(log, b"x" * (HALF - 2) + "😀".encode() + b"y" * (3 * LIMIT))
    reader = Reader(log).read()
    assert reader.offset == HALF + 2 + 3 * LIMIT
    before = reader.frames[: [f["type"] for f in reader.frames].index("gap")]
    assert before[-1]["next"] == HALF
    assert before[-1]["data"].endswith("x\ufffd")


def test_a_reader_overtaken_by_the_hole_gets_a_gap(log: Path) -> None:
    write(log, b"a" * (HALF + 1000))
    reader = Reader(log).read()
    write(log, b"b" * (3 * LIMIT))
    reader.read()
    assert [f["type"] for f in reader.frames].count("gap") == 1
    assert reader.offset == HALF + 1000 + 3 * LIMIT


def test_frames_carry_their_write_time(log: Path) -> None:
    write_at(
        log,
        (b"one\n", 1_700_000_000_000),
        (b"two \xe2", 1_700_000_001_250),
        (b"\x82\xac\n", 1_700_000_002_500),
    )
    assert [(f["data"], f["time"]) for f in Reader(log).read().frames] == [
        ("one\n", "2023-11-14T22:13:20.000Z"),
        ("two ", "2023-11-14T22:13:21.250Z"),
        ("€\n", "2023-11-14T22:13:22.500Z"),
    ]


def test_output_without_a_known_time_has_none(log: Path) -> None:
    log.write_bytes(b"old\n")
    assert [frame["time"] for frame in Reader(log).read().frames] == [None]


def test_a_vanished_log_is_not_an_end(log: Path) -> None:
    write(log, b"abc")
    reader = Reader(log).read()
    log.unlink()
    assert read_piece(log, reader.offset, is_complete=True).is_gone


def test_a_missing_log_reads_as_empty(log: Path) -> None:
    piece = read_piece(log, 0, is_complete=True)
    assert (piece.frames, piece.next, piece.is_gone) == ((), 0, False)
