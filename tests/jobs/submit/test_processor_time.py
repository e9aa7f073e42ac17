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


async def test_later_looks_do_not_end_an_answer_in_time() -> None:
    looks = itertools.count()
    limit = ProcessorTimeLimit(lambda: next(looks) * 0.001, 0.004, max_wait_seconds=60)
    async with limit:
        while next(looks) < 3:
            await asyncio.sleep(0.03)
    assert not limit.is_used_up
