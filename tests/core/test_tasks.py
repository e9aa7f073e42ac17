"""Background tasks and their restarts."""

import asyncio
import logging

import pytest

from asgard_async.core.backoff import Backoff
from asgard_async.core.tasks import BackgroundTasks
from tests.support.eventually import eventually

QUICK = Backoff(first_seconds=0.001, longest_seconds=0.004)


async def test_a_failing_task_is_restarted_with_backoff(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = 0

    async def fail() -> None:
        nonlocal runs
        runs += 1
        raise ValueError

    tasks = BackgroundTasks()
    with caplog.at_level(logging.ERROR):
        tasks.keep_running("failing", fail, backoff=QUICK)
        await eventually(lambda: runs >= 5, what="the task was restarted")
        await tasks.stop()
    pauses = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses[:4] == [0.001, 0.002, 0.004, 0.004]


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
