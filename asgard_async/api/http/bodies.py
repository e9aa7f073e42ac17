"""Reception of request bodies: deadlines for each body, and a memory bound for all together.

aiohttp itself waits indefinitely for a slow body, and buffers any number of bodies at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from asgard_async.api.errors import BodyTooSlow, TooManyBodies
from asgard_async.core.fair_semaphore import FairSemaphore, SemaphoreUnavailable

SMALL_BYTES = 16 * 1024
"""Bodies up to this size reserve no memory, so that large bodies never block them."""
GRACE_SECONDS = 10.0
"""Time from the start of a body before its minimum rate is enforced."""
MAX_WAITING = 64
MAX_WAIT_SECONDS = 10.0

_RESERVED = web.RequestKey("reserved", int)


class IncomingBodies:
    """Bodies being received, and the memory reserved for them."""

    def __init__(self, *, total_bytes: int, min_rate: int) -> None:
        self._min_rate = min_rate
        self._memory = FairSemaphore(
            total_bytes, max_waiting=MAX_WAITING, max_wait_seconds=MAX_WAIT_SECONDS
        )

    @asynccontextmanager
    async def receive(
        self, request: web.Request, *, seconds: float, max_bytes: int
    ) -> AsyncIterator["IncomingBody"]:
        """Receive a body within `seconds`, of which at most `max_bytes` are held in memory.

        Raises:
            BodyTooSlow: the body takes longer, or arrives below the minimum rate.
            TooManyBodies: no memory became available in time.
        """
        loop = asyncio.get_running_loop()
        try:
            # the body sets the deadline, and moves it with each piece
            async with asyncio.timeout(None) as deadline:
                yield IncomingBody(
                    request,
                    deadline,
                    self._memory,
                    started_at=loop.time(),
                    seconds=seconds,
                    min_rate=self._min_rate,
                    size=min(request.content_length or max_bytes, max_bytes),
                )
        except TimeoutError as error:
            raise BodyTooSlow(seconds) from error

    def releasing(self) -> Middleware:
        """Create a middleware that releases a body's memory once its request is answered."""

        @web.middleware
        async def release(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not request.body_exists:
                return await handler(request)
            try:
                return await handler(request)
            finally:
                if size := request.get(_RESERVED):
                    self._memory.release(request.remote or "", size)

        return release


class IncomingBody:
    """A body being received; the reader calls `count` with each piece."""

    def __init__(
        self,
        request: web.Request,
        deadline: asyncio.Timeout,
        memory: FairSemaphore,
        *,
        started_at: float,
        seconds: float,
        min_rate: int,
        size: int,
    ) -> None:
        self._request = request
        self._deadline = deadline
        self._memory = memory
        self._started_at = started_at
        self._seconds = seconds
        self._min_rate = min_rate
        self._size = size
        self._received = 0
        self._move_deadline()

    async def count(self, piece: bytes) -> None:
        """Count a piece; once the body is no longer small, wait for memory.

        Raises:
            TooManyBodies: no memory became available in time.
        """
        self._received += len(piece)
        if self._received > SMALL_BYTES and _RESERVED not in self._request:
            await self._reserve()
        self._move_deadline()

    async def _reserve(self) -> None:
        loop = asyncio.get_running_loop()
        wait_start, deadline = loop.time(), self._deadline.when()
        self._deadline.reschedule(None)  # the client is not slow while the service keeps it waiting
        try:
            await self._memory.acquire(self._request.remote or "", self._size)
        except SemaphoreUnavailable as error:
            raise TooManyBodies from error
        finally:
            self._started_at += loop.time() - wait_start
            self._deadline.reschedule(deadline)
        self._request[_RESERVED] = self._size

    def _move_deadline(self) -> None:
        """Set the deadline for the next piece."""
        due = GRACE_SECONDS + self._received / self._min_rate
        self._deadline.reschedule(self._started_at + min(self._seconds, due))


BODIES = web.AppKey("bodies", IncomingBodies)
