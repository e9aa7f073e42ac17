"""Background tasks and their restarts."""

import asyncio
import logging
from itertools import pairwise

import pytest

from asgard_async.core.backoff import Backoff
from asgard_async.core.tasks import BackgroundTasks
from tests.support.eventually import eventually

QUICK = Backoff(first_seconds=0.001, longest_seconds=0.004)


async def test_a_failing_task_is_restarted_with_backoff(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[float] = []

    async def fail() -> None:
        runs.append(asyncio.get_running_loop().time())
        raise ValueError

    tasks = BackgroundTasks()
    with caplog.at_level(logging.ERROR):
        tasks.keep_running("failing", fail, backoff=QUICK)
        await eventually(lambda: len(runs) >= 5, what="the task was restarted")
        await tasks.stop()
    expected = [0.001, 0.002, 0.004, 0.004]
    pauses = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses[:4] == expected
    # no sleep ends early, but for the precision of the clock
    assert all(b - a > 0.9 * p for (a, b), p in zip(pairwise(runs), expected, strict=False))


async def test_a_task_that_returns_is_restarted() -> None:
    runs = 0

    async def end() -> None:
        nonlocal runs
        runs += 1

    tasks = BackgroundTasks()
    tasks.keep_running("ending", end, backoff=QUICK)
    await eventually(lambda: runs >= 3, what="the task was restarted")
    await tasks.stop("ending")
    before = runs
    await asyncio.sleep(0.01)
    assert runs == before
