"""Many readers of one log: what one of them has read, the others need not read again.

Readers that keep up stand at the same offset, so each piece is read, decoded and encoded once for
all of them. One that lags behind reads for itself, at its own pace; nothing is kept for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asgard_async.logs.frames import Piece, read_piece
from asgard_async.logs.watch import LogWatch, Wake

KEPT_PIECES = 4
READERS_AT_ONCE = 16
"""So many get a piece in one turn of the event loop: what else is asked comes between."""


class Feed:
    """One log, while somebody follows it."""

    def __init__(self, log: Path, turns: asyncio.Semaphore) -> None:
        self._log = log
        self._turns = turns
        self._changes = 0
        self._reading: dict[tuple[int, bool, int], asyncio.Future[Piece]] = {}
        self._kept: OrderedDict[tuple[int, bool], Piece] = OrderedDict()
        self._end: tuple[int, bool, int] | None = None
        """Offset, completeness and number of changes at which nothing more was there."""

    def changed(self) -> None:
        """The log has changed: a reading that has begun may not see it."""
        self._changes += 1

    async def piece(self, offset: int, *, is_complete: bool) -> Piece:
        """What follows `offset` now; `is_complete` says that the log grows no more."""
        piece = await self._piece(offset, is_complete=is_complete)
        if piece.frames:
            async with self._turns:
                await asyncio.sleep(0)
        return piece

    async def _piece(self, offset: int, *, is_complete: bool) -> Piece:
        place = (offset, is_complete)
        if (kept := self._kept.get(place)) is not None:
            return kept
        key = (*place, self._changes)
        if key == self._end:
            return Piece(frames=(), offset=offset, next=offset, reaches_end=True)
        reading = self._reading.get(key)
        if reading is None:
            # in the loop's threads, and not cancelled with the reader who came first
            reading = asyncio.ensure_future(
                asyncio.to_thread(read_piece, self._log, offset, is_complete=is_complete)
            )
            self._reading[key] = reading
            reading.add_done_callback(lambda done: self._read(key, done))
        return await asyncio.shield(reading)

    def _read(self, key: tuple[int, bool, int], done: "asyncio.Future[Piece]") -> None:
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
    """The feeds of all logs that are followed at this moment."""

    def __init__(self, log_of: Callable[[str], Path], watch: LogWatch) -> None:
        self._log_of = log_of
        self._watch = watch
        self._feeds: dict[str, tuple[Feed, int]] = {}
        self._turns = asyncio.Semaphore(READERS_AT_ONCE)

    @contextmanager
    def following(self, job_id: str, wake: Wake) -> Iterator[Feed]:
        """The feed of a job's log; inside of the context `wake` is called when the log changes."""
        feed, readers = self._feeds.get(job_id) or (Feed(self._log_of(job_id), self._turns), 0)
        self._feeds[job_id] = (feed, readers + 1)

        def changed() -> None:
            feed.changed()
            wake()

        try:
            with self._watch.watching(self._log_of(job_id), changed):
                yield feed
        finally:
            _, readers = self._feeds.pop(job_id)
            if readers > 1:
                self._feeds[job_id] = (feed, readers - 1)
