"""Admission: the policy that decides whether one more job may run."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from asgard_async.domain.job import Job


class Slot:
    """The share of the machine that one running job occupies, until it is released."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def release(self) -> None:
        """Free the slot; a slot that is free already stays free."""
        if self._free is not None:
            free, self._free = self._free, None
            free()


class Admission(Protocol):
    """A policy on how many jobs run at once."""

    async def acquire(self) -> Slot:
        """Wait until one more job may run, and occupy its slot."""

    def adopt(self, job: Job) -> Slot:
        """Occupy the slot of a job that runs already, whatever the policy allows."""


class SlotAdmission:
    """Admits jobs while fewer than `slots` run.

    Adopted jobs count: after a restart with fewer slots no job starts until enough have ended.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._occupied = 0
        self._freed = asyncio.Event()

    @property
    def occupied(self) -> int:
        """The number of jobs that run; more than there are slots if some were adopted."""
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
