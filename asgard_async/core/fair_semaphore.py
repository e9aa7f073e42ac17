"""Something that only a few, or so much in all, may have at once; others wait, but not too many."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class SemaphoreUnavailable(Exception):
    """Too many wait already, or it took too long."""


@dataclass(eq=False, kw_only=True)
class _Waiting:
    owner: str
    amount: int
    granted: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class FairSemaphore:
    """Shares out `capacity`, by turns among owners: next is who has least of it, and of these
    who got some longest ago.

    So one owner who asks a thousand times delays another by one turn, not by a thousand.
    """

    def __init__(self, capacity: int, *, max_waiting: int, patience_seconds: float) -> None:
        self._free = capacity
        self._max_waiting = max_waiting
        self._patience = patience_seconds
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []
        self._granted = 0
        self._last_grant: dict[str, int] = {}
        """Of those who hold some or wait; others need not be remembered."""

    @asynccontextmanager
    async def hold(self, owner: str = "", amount: int = 1) -> AsyncIterator[None]:
        """Have so much of it for as long as the context is open.

        Raises:
            NoTurn: too many wait already, or it took too long.
        """
        await self.acquire(owner, amount)
        try:
            yield
        finally:
            self.release(owner, amount)

    async def acquire(self, owner: str = "", amount: int = 1) -> None:
        """Wait for so much of it; `release` must follow.

        Raises:
            NoTurn: too many wait already, or it took too long.
        """
        if not self._waiting and amount <= self._free:
            self._grant(owner, amount)
            return
        ours = sum(other.owner == owner for other in self._waiting)
        if len(self._waiting) >= self._max_waiting or ours * 2 >= self._max_waiting:
            raise SemaphoreUnavailable
        one = _Waiting(owner=owner, amount=amount)
        self._waiting.append(one)
        try:
            async with asyncio.timeout(self._patience):
                await one.granted
        except BaseException as error:
            if one in self._waiting:
                self._waiting.remove(one)
                self._next()  # perhaps there is enough for who stood behind
            elif one.granted.done() and not one.granted.cancelled():
                self.release(owner, amount)
            if isinstance(error, TimeoutError):
                raise SemaphoreUnavailable from error
            raise

    def release(self, owner: str = "", amount: int = 1) -> None:
        """Let others have what was taken."""
        self._free += amount
        self._held[owner] -= amount
        if self._held[owner] <= 0:
            del self._held[owner]
        self._next()
        if owner not in self._held and all(other.owner != owner for other in self._waiting):
            self._last_grant.pop(owner, None)

    def _grant(self, owner: str, amount: int) -> None:
        self._granted += 1
        self._last_grant[owner] = self._granted
        self._free -= amount
        self._held[owner] += amount

    def _next(self) -> None:
        while self._waiting:
            one = min(self._waiting, key=self._rank)
            if one.amount > self._free:
                return
            self._waiting.remove(one)
            if not one.granted.cancelled():
                self._grant(one.owner, one.amount)
                one.granted.set_result(None)

    def _rank(self, one: _Waiting) -> tuple[int, int]:
        return self._held[one.owner], self._last_grant.get(one.owner, 0)
