"""A fair semaphore shares its capacity among owners and bounds waiting."""

import asyncio

import pytest

from asgard_async.core.fair_semaphore import FairSemaphore, SemaphoreUnavailable


def semaphore(
    capacity: int = 1, *, max_waiting: int = 8, max_wait_seconds: float = 30
) -> FairSemaphore:
    return FairSemaphore(capacity, max_waiting=max_waiting, max_wait_seconds=max_wait_seconds)


async def started(task: asyncio.Task[None]) -> asyncio.Task[None]:
    """Let the task run until it waits, and return it."""
    await asyncio.sleep(0)
    return task


async def test_a_busy_owner_delays_others_by_one_slot() -> None:
    shared, order = semaphore(), list[str]()

    async def use(owner: str) -> None:
        async with shared.hold(owner):
            order.append(owner)
            await asyncio.sleep(0)

    await shared.acquire("greedy")
    waiting = [await started(asyncio.create_task(use("greedy"))) for _ in range(3)]
    waiting.append(await started(asyncio.create_task(use("other"))))
    shared.release("greedy")
    await asyncio.gather(*waiting)
    assert order.index("other") <= 1


async def test_one_owner_cannot_fill_the_queue() -> None:
    shared = semaphore(max_waiting=4)
    await shared.acquire("greedy")
    waiting = [await started(asyncio.create_task(shared.acquire("greedy"))) for _ in range(2)]
    with pytest.raises(SemaphoreUnavailable):
        await shared.acquire("greedy")
    other = await started(asyncio.create_task(shared.acquire("other")))
    shared.release("greedy")
    await other
    for task in waiting:
        task.cancel()


async def test_waiting_is_bounded_and_loses_no_slot() -> None:
    shared = semaphore(max_wait_seconds=0.01)
    await shared.acquire()
    with pytest.raises(SemaphoreUnavailable):
        await shared.acquire()
    shared.release()
    async with asyncio.timeout(10):
        await shared.acquire()


async def test_a_cancelled_waiter_passes_its_slot_on() -> None:
    shared = semaphore()
    await shared.acquire()
    first = await started(asyncio.create_task(shared.acquire()))
    shared.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(10):
        await shared.acquire()


async def test_a_large_request_is_not_starved() -> None:
    shared = semaphore(10)
    await shared.acquire(amount=6)
    large = await started(asyncio.create_task(shared.acquire(amount=8)))
    small = await started(asyncio.create_task(shared.acquire(amount=1)))
    assert not small.done()
    shared.release(amount=6)
    async with asyncio.timeout(10):
        await asyncio.gather(large, small)
