"""Bodies on their way in: each with deadlines, all of them together with a bound.

aiohttp alone waits for ever for a body that trickles in, and buffers as many as are sent at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from asgard_async.api.errors import BodyTooSlow, TooManyBodies
from asgard_async.core.fair_semaphore import FairSemaphore, SemaphoreUnavailable

SMALL_BYTES = 16 * 1024
"""Up to here a body does not count, so that no crowd of large ones keeps small ones out."""
GRACE_SECONDS = 10.0
"""For as long as this a body may come as slowly as it likes."""
MAX_WAITING = 64
PATIENCE_SECONDS = 10.0

_RESERVED = web.RequestKey("reserved", int)


class Bodies:
    """Who is received at this moment, and how much memory is set aside for it."""

    def __init__(self, *, total_bytes: int, min_rate: int) -> None:
        self._min_rate = min_rate
        self._room = FairSemaphore(
            total_bytes, max_waiting=MAX_WAITING, patience_seconds=PATIENCE_SECONDS
        )

    @asynccontextmanager
    async def arriving(
        self, request: web.Request, *, seconds: float, max_bytes: int
    ) -> AsyncIterator["Arrival"]:
        """Receive a body, of which at most `max_bytes` are held, within so many seconds.

        Raises:
            BodyTooSlow: it takes longer, or comes more slowly than it must.
            TooManyBodies: no room for it came free.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds) as limit:
                yield Arrival(
                    request,
                    limit,
                    self._room,
                    began=loop.time(),
                    seconds=seconds,
                    min_rate=self._min_rate,
                    size=min(request.content_length or max_bytes, max_bytes),
                )
        except TimeoutError as error:
            raise BodyTooSlow(seconds) from error

    def releasing(self) -> Middleware:
        """A middleware that gives a body's room back when its request has been answered."""

        @web.middleware
        async def release(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not request.body_exists:
                return await handler(request)
            try:
                return await handler(request)
            finally:
                if size := request.get(_RESERVED):
                    self._room.release(request.remote or "", size)

        return release


class Arrival:
    """One body; `note` must be told of each piece."""

    def __init__(
        self,
        request: web.Request,
        limit: asyncio.Timeout,
        room: FairSemaphore,
        *,
        began: float,
        seconds: float,
        min_rate: int,
        size: int,
    ) -> None:
        self._request = request
        self._limit = limit
        self._room = room
        self._began = began
        self._seconds = seconds
        self._min_rate = min_rate
        self._size = size
        self._received = 0
        self._expect()

    async def note(self, piece: bytes) -> None:
        """Count a piece; with the first that makes the body a large one, wait for room.

        Raises:
            TooManyBodies: none came free.
        """
        self._received += len(piece)
        if self._received > SMALL_BYTES and _RESERVED not in self._request:
            await self._reserve()
        self._expect()

    async def _reserve(self) -> None:
        loop = asyncio.get_running_loop()
        asked, remaining = loop.time(), self._limit.when()
        self._limit.reschedule(None)  # what we keep waiting is not slow
        try:
            await self._room.acquire(self._request.remote or "", self._size)
        except SemaphoreUnavailable as error:
            raise TooManyBodies from error
        finally:
            self._began += loop.time() - asked
            self._limit.reschedule(remaining)
        self._request[_RESERVED] = self._size

    def _expect(self) -> None:
        """Set when the next piece must be there at the latest."""
        due = GRACE_SECONDS + self._received / self._min_rate
        self._limit.reschedule(self._began + min(self._seconds, due))


BODIES = web.AppKey("bodies", Bodies)
