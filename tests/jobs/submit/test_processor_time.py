"""The limit on the processor time of a checking process."""

import asyncio
import itertools

import pytest

from asgard_async.jobs.submit.checking.processor_time import ProcessorTimeLimit


async def test_too_much_processor_time_ends_the_wait() -> None:
    used_seconds = itertools.count()
    limit = ProcessorTimeLimit(lambda: next(used_seconds), 0.001, max_wait_seconds=60)
    with pytest.raises(TimeoutError):
        async with limit:
            await asyncio.sleep(60)
    assert limit.is_used_up


async def test_too_little_processor_time_ends_the_wait() -> None:
    limit = ProcessorTimeLimit(lambda: 0.0, 0.001, max_wait_seconds=0.1)
    with pytest.raises(TimeoutError):
        async with limit:
            await asyncio.sleep(60)
    assert not limit.is_used_up


async def test_a_look_below_the_limit_does_not_end_the_wait() -> None:
    looks = 0
    looked_again = asyncio.Event()

    def used_seconds() -> float:
        nonlocal looks
        looks += 1
        if looks > 2:
            looked_again.set()
        return looks * 0.001

    limit = ProcessorTimeLimit(used_seconds, 0.004, max_wait_seconds=60)
    async with limit:
        await looked_again.wait()
    assert not limit.is_used_up
