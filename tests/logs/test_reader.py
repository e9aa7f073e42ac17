"""Reading logs, including logs with a hole as supervisor/shim/pump.py makes it."""

from pathlib import Path

import pytest

from asgard_async.logs.file_source import FileLogSource
from asgard_async.logs.reader import LogReader
from tests.support.written_logs import HALF, JOB, LIMIT, write


@pytest.fixture
def reader(log: Path) -> LogReader:
    return LogReader(FileLogSource(log.parent.parent, "job.log"))


async def test_a_job_without_output_has_an_empty_log(reader: LogReader) -> None:
    assert await reader.size(JOB) == 0
    assert (await reader.read(JOB, 0, 10)).data == b""
    assert (await reader.tail_bytes(JOB, 10)).data == b""
    assert (await reader.tail_lines(JOB, 10)).data == b""
    assert [piece async for piece in reader.whole(JOB)] == []


async def test_reading_by_offset_continues_at_next(log: Path, reader: LogReader) -> None:
    write(log, bytes(range(256)) * 4)
    got, offset = b"", 0
    while (piece := await reader.read(JOB, offset, 100)).data:
        assert piece.offset == offset
        got, offset = got + piece.data, piece.next
    assert got == bytes(range(256)) * 4


async def test_an_offset_beyond_the_end_waits_at_the_end(log: Path, reader: LogReader) -> None:
    write(log, b"abc")
    piece = await reader.read(JOB, 100, 10)
    assert (piece.data, piece.offset, piece.next) == (b"", 3, 3)


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 5, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"\n\n\n", 2, b"\n\n"),
        (b"one line", 1, b"one line"),
    ],
)
async def test_tail_counts_lines(
    log: Path, reader: LogReader, text: bytes, count: int, expected: bytes
) -> None:
    write(log, text)
    assert (await reader.tail_lines(JOB, count)).data == expected


async def test_tail_of_long_lines_reads_further_back(log: Path, reader: LogReader) -> None:
    lines = [bytes([65 + i]) * 10_000 + b"\n" for i in range(12)]
    write(log, b"".join(lines))
    assert (await reader.tail_lines(JOB, 9)).data == b"".join(lines[-9:])


async def test_a_hole_is_marked_unless_reading_by_offset(log: Path, reader: LogReader) -> None:
    data = b"".join(b"%07d\n" % i for i in range(100_000))
    write(log, data)
    first = await reader.read(JOB, 0, len(data))
    assert (first.offset, first.data) == (0, data[:HALF])
    second = await reader.read(JOB, first.next, len(data))
    assert second.offset > first.next
    assert second.data == data[second.offset :]
    assert len(second.data) >= LIMIT // 4 - 4096
    whole = b"".join([piece async for piece in reader.whole(JOB)])
    dropped = second.offset - HALF
    marker = b"\n[asgard: %d bytes of output are not kept]\n" % dropped
    assert whole == data[:HALF] + marker + data[second.offset :]


async def test_a_later_attempt_continues_after_the_hole(log: Path, reader: LogReader) -> None:
    write(log, b"x" * (3 * LIMIT))
    write(log, b"again\n")
    assert await reader.size(JOB) == 3 * LIMIT + 6
    assert (await reader.tail_lines(JOB, 1)).data.endswith(b"again\n")
    assert log.stat().st_blocks * 512 <= LIMIT


async def test_pieces_end_as_requested_after_a_hole(log: Path, reader: LogReader) -> None:
    """Responses announce the end before the pieces are read."""
    write(log, b"a" * 1000 + b"\0" * 8000 + b"z" * 1000)
    Path(f"{log}.hole").write_text("1000 9000")
    pieces = [piece async for piece in reader.pieces(JOB, 1000, 9400)]
    assert [(piece.offset, piece.next, piece.data) for piece in pieces] == [
        (9000, 9400, b"z" * 400)
    ]
    assert [piece async for piece in reader.pieces(JOB, 1000, 8000)] == []
