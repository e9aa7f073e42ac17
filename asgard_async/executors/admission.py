"""Admission: the policy that decides whether another job may run."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from asgard_async.domain.job import Job


class Slot:
    """A slot for one running job, which is occupied until it is released."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def release(self) -> None:
        """Free the slot; repeated calls have no effect."""
        if self._free is not None:
            free, self._free = self._free, None
            free()


class Admission(Protocol):
    """A policy for the number of concurrent jobs."""

    async def acquire(self) -> Slot:
        """Wait until another job may run, and occupy its slot."""

    def adopt(self, job: Job) -> Slot:
        """Occupy the slot of a job that is already running, regardless of the policy."""


class SlotAdmission:
    """Admits jobs while fewer than `slots` are running.

    Adopted jobs count, too: after a restart with fewer slots, no job starts until enough jobs have
    ended.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._occupied = 0
        self._freed = asyncio.Event()

    @property
    def occupied(self) -> int:
        """The number of running jobs, which may exceed the number of slots if some were adopted."""
        return self._occupied

    async def acquire(self) -> Slot:
        """See `Admission.acquire`."""
        while self._occupied >= self._slots:
            self._freed.clear()
            await self._freed.wait()
        return self._occupy()

    def adopt(self, job: Job) -> Slot:
        """See `Admission.adopt`."""
        return self._occupy()

    def _occupy(self) -> Slot:
        self._occupied += 1
        return Slot(self._free)

    def _free(self) -> None:
        self._occupied -= 1
        self._freed.set()
