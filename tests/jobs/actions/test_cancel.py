"""Cancelling: queued, running and ended jobs, twice, and across a restart."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, WITHOUT_MLFLOW, Service, running_service

BLOCK = "import time\nprint('up')\ntime.sleep(60)"

pytestmark = pytest.mark.service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_slot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that runs one job at a time and lets it end by itself."""
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
        "ASGARD_JOBS__STOP_GRACE_SECONDS": "10",
    }
    async with running_service(tmp_path_factory.mktemp("one-slot") / "data", settings) as service:
        yield service


async def cancel(service: Service, job_id: str) -> dict[str, object]:
    status, job = await service.post(f"/mlops/training/jobs/{job_id}/cancel")
    assert status == 202, job
    assert isinstance(job, dict)
    return job


@pytest.mark.asyncio(loop_scope="module")
async def test_a_cancelled_queued_job_never_starts(one_slot: Service) -> None:
    blocker = await one_slot.submit(BLOCK)
    await one_slot.phase(blocker, "running")
    queued = await one_slot.submit("print('never')")
    assert (await cancel(one_slot, queued))["status"] == "cancelled"
    await cancel(one_slot, blocker)
    await one_slot.finished(blocker)
    job = await one_slot.job(queued)
    assert (job["status"], job["reason"], job["started_at"]) == ("cancelled", "cancelled", None)
    assert job["logs"] == ""


async def test_a_cancelled_running_job_leaves_no_processes(shared: Service) -> None:
    script = f"import os\nif os.fork() == 0: os.setsid(); os.fork()\n{BLOCK}"
    job_id = await shared.submit(script)
    await shared.phase(job_id, "running")
    await cancel(shared, job_id)
    job = await shared.finished(job_id)
    assert (job["status"], job["reason"]) == ("cancelled", "cancelled")
    assert processes_with(f"jobs/{job_id}") == []


async def test_a_job_can_be_cancelled_as_it_is_accepted(shared: Service) -> None:
    for _ in range(5):
        job_id = await shared.submit(BLOCK)
        await cancel(shared, job_id)
        assert (await shared.finished(job_id))["status"] == "cancelled"


async def test_cancelling_twice_or_after_the_end_is_a_no_op(
    shared: Service,
) -> None:
    running = await shared.submit(BLOCK)
    await shared.phase(running, "running")
    for _ in range(3):
        await cancel(shared, running)
    done = await shared.submit("print('done')")
    before = await shared.finished(done)
    assert (await cancel(shared, done))["status"] == "completed"
    assert await shared.job(done) == before
    assert (await shared.finished(running))["status"] == "cancelled"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_requested_cancellation_survives_a_crash(one_slot: Service) -> None:
    # the script needs time to exit; the service is killed meanwhile
    script = """
import signal, sys, time
signal.signal(15, lambda *_: (time.sleep(1.5), print("saved"), sys.exit(0)))
print("up", flush=True)
time.sleep(60)
"""
    job_id = await one_slot.submit(script)
    await one_slot.says(job_id, "up")
    await cancel(one_slot, job_id)
    await one_slot.kill()
    await one_slot.start()
    job = await one_slot.finished(job_id)
    assert (job["status"], job["exit_code"]) == ("cancelled", 0)
    assert job["logs"].endswith("saved\n")


async def test_cancelling_an_unknown_job_is_an_error(shared: Service) -> None:
    status, problem = await shared.post("/mlops/training/jobs/00000000/cancel")
    assert (status, problem["status"]) == (404, 404)


async def test_a_job_waiting_for_mlflow_is_cancelled_at_once(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", QUICK_TO_WARM) as service:
        # it imports more than the standard library, so it waits for its experiment
        job_id = await service.submit("import msgspec\nprint('never')")
        await service.phase(job_id, "starting")
        await cancel(service, job_id)
        job = await service.finished(job_id)
        assert (job["status"], job["reason"], job["started_at"]) == ("cancelled", "cancelled", None)
        _, status = await service.get("/mlops/status")
        assert status["mlflow_api"] == "starting"
