"""Restarts with backoff: their conditions, their pauses and their end."""

import asyncio
from collections.abc import Iterator

import pytest

from asgard_async.core.backoff import Backoff
from asgard_async.core.restart import Restart, run_with_restarts

QUICK = Backoff(first_seconds=0.001, longest_seconds=0.004, healthy_seconds=60)


def runs(*results: Restart) -> "Runs":
    return Runs(iter(results))


class Runs:
    """Counts runs, each of which returns the next result."""

    def __init__(self, results: Iterator[Restart]) -> None:
        self.count = 0
        self.pauses: list[float] = []
        self._results = results

    async def run(self) -> Restart:
        self.count += 1
        return next(self._results)

    async def note(self, pause: float) -> None:
        self.pauses.append(pause)


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(first_seconds=1, longest_seconds=5, healthy_seconds=60)
    pauses: list[float] = []
    for _ in range(5):
        pauses.append(backoff.next_pause(pauses[-1] if pauses else None, run_seconds=0))
    assert pauses == [1, 2, 4, 5, 5]


def test_a_healthy_run_resets_the_pauses() -> None:
    backoff = Backoff(first_seconds=1, longest_seconds=64, healthy_seconds=60)
    assert backoff.next_pause(32, run_seconds=59) == 64
    assert backoff.next_pause(32, run_seconds=61) == 1


async def test_failed_runs_are_repeated_after_a_pause() -> None:
    observed = runs(*[Restart.AFTER_PAUSE] * 4, Restart.NEVER)
    await run_with_restarts(observed.run, QUICK, before_pause=observed.note)
    assert observed.count == 5
    assert observed.pauses == [0.001, 0.002, 0.004, 0.004]


async def test_a_replaced_run_is_followed_at_once() -> None:
    never = Backoff(first_seconds=600)
    observed = runs(Restart.AT_ONCE, Restart.AT_ONCE, Restart.NEVER)
    async with asyncio.timeout(5):
        await run_with_restarts(observed.run, never, before_pause=observed.note)
    assert (observed.count, observed.pauses) == (3, [])


async def test_an_error_of_a_run_ends_the_loop() -> None:
    async def run() -> Restart:
        raise OSError("no port")

    with pytest.raises(OSError, match="no port"):
        await run_with_restarts(run, QUICK)


async def test_the_loop_can_be_cancelled_while_it_pauses() -> None:
    paused = asyncio.Event()

    async def run() -> Restart:
        return Restart.AFTER_PAUSE

    async def note(_: float) -> None:
        paused.set()

    task = asyncio.create_task(
        run_with_restarts(run, Backoff(first_seconds=600), before_pause=note)
    )
    await paused.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
