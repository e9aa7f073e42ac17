"""Slots: how many jobs run at once, adopted ones included."""

import asyncio

import pytest

from asgard_async.core.timestamps import now
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase
from asgard_async.executors.admission import SlotAdmission

JOB = Job(
    seq=1,
    job_id="0000000a",
    spec=JobSpec(
        script_name="train.py",
        experiment_name="experiment",
        model_name="model",
        script_sha256="",
        timeout=60,
    ),
    phase=Phase.RUNNING,
    created_at=now(),
)


async def is_refused(admission: SlotAdmission) -> bool:
    waiting = asyncio.create_task(admission.acquire())
    for _ in range(3):
        await asyncio.sleep(0)
    if waiting.done():
        waiting.result().release()
        return False
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return True


async def test_no_more_jobs_than_slots_are_admitted() -> None:
    admission = SlotAdmission(2)
    first, _ = await admission.acquire(), await admission.acquire()
    assert await is_refused(admission)
    first.release()
    assert not await is_refused(admission)


async def test_a_waiting_job_is_admitted_when_a_slot_is_freed() -> None:
    admission = SlotAdmission(1)
    slot = await admission.acquire()
    waiting = asyncio.create_task(admission.acquire())
    await asyncio.sleep(0)
    assert not waiting.done()
    slot.release()
    await asyncio.wait_for(waiting, 5)
    assert admission.occupied == 1


async def test_a_slot_is_freed_once() -> None:
    admission = SlotAdmission(1)
    slot = await admission.acquire()
    slot.release()
    slot.release()
    assert admission.occupied == 0


@pytest.mark.parametrize("adopted", [1, 3])
async def test_adopted_jobs_count_beyond_the_slots(adopted: int) -> None:
    admission = SlotAdmission(1)
    slots = [admission.adopt(JOB) for _ in range(adopted)]
    for slot in slots:
        assert await is_refused(admission)
        slot.release()
    assert not await is_refused(admission)
