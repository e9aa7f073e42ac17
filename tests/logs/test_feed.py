"""Followers of one log share each piece that one of them has read."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from asgard_async.logformat.times import TOGETHER_MS
from asgard_async.logs.feed import READERS_AT_ONCE, Feed, Feeds
from asgard_async.logs.file_source import FileLogSource
from asgard_async.logs.frames import PIECE_FRAMES
from asgard_async.logs.source import TimedSlice
from tests.support.written_logs import JOB, START, write_at


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets at which the log was read."""
    offsets: list[int] = []
    read_timed = FileLogSource.read_timed

    async def counted(source: FileLogSource, job_id: str, offset: int, limit: int) -> TimedSlice:
        offsets.append(offset)
        return await read_timed(source, job_id, offset, limit)

    monkeypatch.setattr(FileLogSource, "read_timed", counted)
    return offsets


def source_of(log: Path) -> FileLogSource:
    return FileLogSource(log.parent.parent, log.name)


def feed_of(log: Path) -> Feed:
    return Feed(source_of(log), JOB, asyncio.Semaphore(READERS_AT_ONCE))


async def test_a_piece_is_read_once_for_all(log: Path, readings: list[int]) -> None:
    log.write_bytes(b"one")
    feed = feed_of(log)
    pieces = await asyncio.gather(*(feed.piece(0, is_complete=False) for _ in range(50)))
    assert len({id(piece) for piece in pieces}) == 1
    assert await feed.piece(0, is_complete=False) is pieces[0]
    assert readings == [0]
    assert (await feed.piece(3, is_complete=False)).frames == ()
    assert readings == [0]  # known to be at the end


async def test_delivery_is_spread_over_loop_iterations(log: Path) -> None:
    log.write_bytes(b"one")
    feed, turn, got_in = feed_of(log), 0, []

    async def read() -> None:
        await feed.piece(0, is_complete=False)
        got_in.append(turn)

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(10 * READERS_AT_ONCE)]
        while not all(reader.done() for reader in readers):
            turn += 1
            await asyncio.sleep(0)
    assert max(Counter(got_in).values()) <= READERS_AT_ONCE


async def test_a_change_rereads_the_end(log: Path, readings: list[int]) -> None:
    log.write_bytes(b"one")
    feed = feed_of(log)
    await feed.piece(0, is_complete=False)
    with log.open("ab") as file:
        file.write(b"two")
    feed.changed()
    assert (await feed.piece(3, is_complete=False)).next == 6
    assert readings == [0, 3]


async def test_a_read_begun_before_a_change_is_repeated(
    log: Path,
) -> None:
    feed = feed_of(log)
    early = asyncio.create_task(feed.piece(0, is_complete=False))
    await asyncio.sleep(0)
    log.write_bytes(b"one")
    feed.changed()
    assert (await feed.piece(0, is_complete=False)).next == 3
    await early


async def test_a_departing_reader_does_not_affect_others(log: Path) -> None:
    log.write_bytes(b"one")
    feed = feed_of(log)
    leaving, staying = (asyncio.create_task(feed.piece(0, is_complete=False)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).next == 3


async def test_the_end_of_the_job_flushes_a_partial_character(log: Path) -> None:
    log.write_bytes(b"a\xe2")
    feed = feed_of(log)
    assert (await feed.piece(0, is_complete=False)).next == 1
    assert (await feed.piece(1, is_complete=False)).frames == ()
    assert (await feed.piece(1, is_complete=True)).next == 2


async def test_parts_beyond_one_piece_are_all_sent(log: Path) -> None:
    for count in (PIECE_FRAMES - 1, PIECE_FRAMES, PIECE_FRAMES + 1, 3 * PIECE_FRAMES):
        log.unlink(missing_ok=True)
        Path(f"{log}.times").unlink(missing_ok=True)
        write_at(log, *((b"x", START + n * TOGETHER_MS) for n in range(count)))
        feed, offset = feed_of(log), 0
        while (piece := await feed.piece(offset, is_complete=False)).frames:
            offset = piece.next
        assert offset == count


async def test_a_feed_lives_while_it_has_readers(log: Path) -> None:
    feeds = Feeds(source_of(log))
    with feeds.following(JOB, lambda: None) as first:
        with feeds.following(JOB, lambda: None) as second:
            assert second is first
        with feeds.following(JOB, lambda: None) as third:
            assert third is first
    assert feeds._feeds == {}
