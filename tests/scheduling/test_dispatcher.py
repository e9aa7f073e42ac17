"""The queue: order, limits, deadlines and cancellation of waiting jobs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.service import WITHOUT_MLFLOW, Service, running_service

ONE_SLOT = {**WITHOUT_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1"}
BLOCK = "import time; time.sleep(60)"

pytestmark = pytest.mark.service


@pytest.fixture
async def one_slot(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path / "data", ONE_SLOT) as service:
        yield service


async def test_jobs_start_by_priority_then_age(one_slot: Service, tmp_path: Path) -> None:
    blocker = await one_slot.submit(BLOCK)
    await one_slot.phase(blocker, "running")
    script = f"open({str(tmp_path / 'order')!r}, 'a').write('{{}} ')"
    jobs = [
        await one_slot.submit(script.format(name), priority=priority)
        for name, priority in [("c", 0), ("a", 7), ("d", 0), ("b", 7), ("e", -5)]
    ]
    positions = [(await one_slot.job(job_id))["queue_position"] for job_id in jobs]
    assert positions == [3, 1, 4, 2, 5]
    await one_slot.post(f"/mlops/training/jobs/{blocker}/cancel")
    for job_id in jobs:
        await one_slot.finished(job_id)
    assert (tmp_path / "order").read_text() == "a b c d e "


async def test_running_jobs_never_exceed_the_slots(tmp_path: Path) -> None:
    settings = {**WITHOUT_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "3"}
    # each job leaves a mark, and counts the marks of the others
    script = f"""
import os, time
here = {str(tmp_path / "here")!r}
mine = os.path.join(here, os.environ["ASGARD_JOB_ID"])
open(mine, "w").close()
time.sleep(0.05)
print(len(os.listdir(here)))
os.remove(mine)
"""
    (tmp_path / "here").mkdir()
    (tmp_path / "here").chmod(0o777)  # jobs are different users
    async with running_service(tmp_path / "data", settings) as service:
        jobs = await asyncio.gather(*(service.submit(script) for _ in range(12)))
        met = [int((await service.finished(job_id))["logs"]) for job_id in jobs]
    assert max(met) <= 3
    assert max(met) > 1


async def test_a_full_queue_is_429_with_retry_after(tmp_path: Path) -> None:
    settings = {**ONE_SLOT, "ASGARD_JOBS__MAX_QUEUED_JOBS": "2"}
    async with running_service(tmp_path / "data", settings) as service:
        blocker = await service.submit(BLOCK)
        await service.phase(blocker, "running")
        for _ in range(2):
            await service.submit("print()")
        status, problem = await service.upload("print()")
        assert (status, problem["status"]) == (429, 429)
        _, listed = await service.get("/mlops/training/jobs")
        assert len(listed["jobs"]) == 3


async def test_a_queue_timeout_ends_as_start_failed(tmp_path: Path) -> None:
    settings = {**ONE_SLOT, "ASGARD_JOBS__QUEUE_TIMEOUT": "0.3"}
    async with running_service(tmp_path / "data", settings) as service:
        blocker = await service.submit(BLOCK)
        await service.phase(blocker, "running")
        waiting = [await service.submit("print()") for _ in range(2)]
        for job_id in waiting:
            job = await service.finished(job_id)
            assert (job["status"], job["reason"]) == ("failed", "start_failed")
            assert "queue" in job["error"]
            assert job["started_at"] is None
            assert "starting" not in job["timings"]
        # the running job is not affected, and its slot is still usable
        assert (await service.job(blocker))["phase"] == "running"
        await service.post(f"/mlops/training/jobs/{blocker}/cancel")
        assert (await service.finished(await service.submit("print()")))["status"] == "completed"


async def test_queue_and_deadlines_survive_a_restart(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", ONE_SLOT) as service:
        running = await service.submit(BLOCK, timeout=3)
        queued = await service.submit("print('ran')")
        await service.phase(running, "running")
        await service.kill()
        await service.start()
        assert (await service.finished(running))["reason"] == "timeout"
        assert (await service.finished(queued))["logs"] == "ran\n"
