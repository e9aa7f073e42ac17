"""Feeds of logs, through which followers of the same log share reads.

Followers that keep up are at the same offset, so each piece is read, decoded and encoded once for
all of them. A slow follower reads separately at its own pace; no data is buffered for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from asgard_async.logs.frames import PIECE_BYTES, Piece, piece_of
from asgard_async.logs.source import LogSource, Wake

KEPT_PIECES = 4
SHORT_BYTES = 4096
"""Pieces up to this length are decoded in the event loop: a thread takes longer to start."""
READERS_AT_ONCE = 16
"""Number of followers that receive a piece in one iteration of the event loop; other requests run
in between."""


class Feed:
    """The pieces of one log while it is followed."""

    def __init__(self, source: LogSource, job_id: str, batches: asyncio.Semaphore) -> None:
        self._source = source
        self._job_id = job_id
        self._batches = batches
        self._changes = 0
        self._reading: dict[tuple[int, bool, int], asyncio.Future[Piece]] = {}
        self._kept: OrderedDict[tuple[int, bool], Piece] = OrderedDict()
        self._end: tuple[int, bool, int] | None = None
        """Offset, completeness and number of changes for which the log had no more data."""

    def changed(self) -> None:
        """Record that the log has changed, since reads in progress may not see the change."""
        self._changes += 1

    async def piece(self, offset: int, *, is_complete: bool) -> Piece:
        """Return the piece at `offset`; `is_complete` means that the log does not grow any more."""
        piece = await self._piece(offset, is_complete=is_complete)
        if piece.frames:
            async with self._batches:
                await asyncio.sleep(0)
        return piece

    async def _piece(self, offset: int, *, is_complete: bool) -> Piece:
        position = (offset, is_complete)
        if (piece := self._kept.get(position)) is not None:
            return piece
        key = (*position, self._changes)
        if key == self._end:
            return Piece(frames=(), offset=offset, next=offset, reaches_end=True)
        reading = self._reading.get(key)
        if reading is None:
            # a separate task, which is not cancelled with the first follower
            reading = asyncio.ensure_future(self._read(offset, is_complete=is_complete))
            self._reading[key] = reading
            reading.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(reading)

    async def _read(self, offset: int, *, is_complete: bool) -> Piece:
        part = await self._source.read_timed(self._job_id, offset, PIECE_BYTES)
        if len(part.data) <= SHORT_BYTES:
            return piece_of(part, offset, is_complete=is_complete)
        # not in the event loop, because decoding and encoding take a while
        return await asyncio.to_thread(piece_of, part, offset, is_complete=is_complete)

    def _keep(self, key: tuple[int, bool, int], done: "asyncio.Future[Piece]") -> None:
        del self._reading[key]
        if done.cancelled() or done.exception() is not None:
            return
        piece = done.result()
        _, is_complete, changes = key
        if piece.reaches_end:
            self._end = (piece.next, is_complete, changes)
        if piece.frames:
            self._kept[key[:2]] = piece
            if len(self._kept) > KEPT_PIECES:
                self._kept.popitem(last=False)


class Feeds:
    """The feeds of all logs that are being followed."""

    def __init__(self, source: LogSource) -> None:
        self._source = source
        self._feeds: dict[str, tuple[Feed, int]] = {}
        self._batches = asyncio.Semaphore(READERS_AT_ONCE)

    @contextmanager
    def following(self, job_id: str, wake: Wake) -> Iterator[Feed]:
        """Follow a job's log inside the context; call `wake` when the log changes."""
        current = self._feeds.get(job_id)
        feed, readers = current or (Feed(self._source, job_id, self._batches), 0)
        self._feeds[job_id] = (feed, readers + 1)

        def changed() -> None:
            feed.changed()
            wake()

        try:
            with self._source.watching(job_id, changed):
                yield feed
        finally:
            _, readers = self._feeds.pop(job_id)
            if readers > 1:
                self._feeds[job_id] = (feed, readers - 1)
