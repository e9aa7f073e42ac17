"""A fair semaphore with bounded waiting."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class SemaphoreUnavailable(Exception):
    """Too many callers are waiting, or the wait timed out."""


@dataclass(eq=False, kw_only=True)
class _Waiter:
    owner: str
    amount: int
    granted: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class FairSemaphore:
    """Shares `capacity` fairly among owners.

    The next grant goes to the owner that holds least; among equals, to the owner whose last grant
    is oldest. So an owner with a thousand requests delays another by one grant, not by a thousand.
    """

    def __init__(self, capacity: int, *, max_waiting: int, max_wait_seconds: float) -> None:
        self._free = capacity
        self._max_waiting = max_waiting
        self._max_wait = max_wait_seconds
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[_Waiter]] = {}
        """The waiters of each owner that has any, in order of arrival."""
        self._grants = 0
        self._last_grant: dict[str, int] = {}
        """The latest grant of each owner that holds capacity or waits for some."""

    @asynccontextmanager
    async def hold(self, owner: str = "", amount: int = 1) -> AsyncIterator[None]:
        """Hold `amount` of the capacity inside the context.

        Raises:
            SemaphoreUnavailable: too many callers are waiting, or the wait timed out.
        """
        await self.acquire(owner, amount)
        try:
            yield
        finally:
            self.release(owner, amount)

    async def acquire(self, owner: str = "", amount: int = 1) -> None:
        """Wait for `amount` of the capacity; the caller must `release` it.

        Raises:
            SemaphoreUnavailable: too many callers are waiting, or the wait timed out.
        """
        if not self._waiting and amount <= self._free:
            self._grant(owner, amount)
            return
        waiting = sum(map(len, self._waiting.values()))
        waiting_of_owner = len(self._waiting.get(owner, ()))
        # one owner may fill half of the queue, so that others can always wait
        if waiting >= self._max_waiting or waiting_of_owner * 2 >= self._max_waiting:
            raise SemaphoreUnavailable
        waiter = _Waiter(owner=owner, amount=amount)
        self._waiting.setdefault(owner, deque()).append(waiter)
        try:
            async with asyncio.timeout(self._max_wait):
                await waiter.granted
        except BaseException as error:
            if waiter in self._waiting.get(owner, ()):
                self._remove(waiter)
                self._grant_waiting()  # the free capacity may suffice for the next waiters
            elif waiter.granted.done() and not waiter.granted.cancelled():
                self.release(owner, amount)
            if isinstance(error, TimeoutError):
                raise SemaphoreUnavailable from error
            raise

    def release(self, owner: str = "", amount: int = 1) -> None:
        """Return acquired capacity."""
        self._free += amount
        self._held[owner] -= amount
        if self._held[owner] <= 0:
            del self._held[owner]
        self._grant_waiting()
        if owner not in self._held and owner not in self._waiting:
            self._last_grant.pop(owner, None)

    def _grant(self, owner: str, amount: int) -> None:
        self._grants += 1
        self._last_grant[owner] = self._grants
        self._free -= amount
        self._held[owner] += amount

    def _grant_waiting(self) -> None:
        while self._waiting:
            waiter = self._waiting[min(self._waiting, key=self._rank)][0]
            # smaller requests do not overtake, or a large one might never be granted
            if waiter.amount > self._free:
                return
            self._remove(waiter)
            if not waiter.granted.cancelled():
                self._grant(waiter.owner, waiter.amount)
                waiter.granted.set_result(None)

    def _remove(self, waiter: _Waiter) -> None:
        waiters = self._waiting[waiter.owner]
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[waiter.owner]

    def _rank(self, owner: str) -> tuple[int, int]:
        return self._held[owner], self._last_grant.get(owner, 0)
