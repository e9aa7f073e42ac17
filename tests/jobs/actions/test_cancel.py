"""Cancelling: queued, running and ended jobs, twice, and across a restart."""

from pathlib import Path

import pytest

from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, WITHOUT_MLFLOW, Service, running_service

BLOCK = "import time\nprint('up')\ntime.sleep(60)"

pytestmark = pytest.mark.service


async def cancel(service: Service, job_id: str) -> dict[str, object]:
    status, job = await service.post(f"/mlops/training/jobs/{job_id}/cancel")
    assert status == 202, job
    assert isinstance(job, dict)
    return job


async def test_a_cancelled_queued_job_never_starts(tmp_path: Path) -> None:
    settings = {**WITHOUT_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1"}
    async with running_service(tmp_path / "data", settings) as service:
        blocker = await service.submit(BLOCK)
        await service.phase(blocker, "running")
        queued = await service.submit("print('never')")
        assert (await cancel(service, queued))["status"] == "cancelled"
        await cancel(service, blocker)
        await service.finished(blocker)
        job = await service.job(queued)
        assert (job["status"], job["reason"], job["started_at"]) == ("cancelled", "cancelled", None)
        assert job["logs"] == ""


async def test_a_cancelled_running_job_leaves_no_processes(service: Service) -> None:
    script = f"import os\nif os.fork() == 0: os.setsid(); os.fork()\n{BLOCK}"
    job_id = await service.submit(script)
    await service.phase(job_id, "running")
    await cancel(service, job_id)
    job = await service.finished(job_id)
    assert (job["status"], job["reason"]) == ("cancelled", "cancelled")
    assert processes_with(f"jobs/{job_id}") == []


async def test_a_job_can_be_cancelled_as_it_is_accepted(service: Service) -> None:
    for _ in range(10):
        job_id = await service.submit(BLOCK)
        await cancel(service, job_id)
        assert (await service.finished(job_id))["status"] == "cancelled"


async def test_cancelling_twice_or_after_the_end_is_a_no_op(
    service: Service,
) -> None:
    running = await service.submit(BLOCK)
    await service.phase(running, "running")
    for _ in range(3):
        await cancel(service, running)
    done = await service.submit("print('done')")
    before = await service.finished(done)
    assert (await cancel(service, done))["status"] == "completed"
    assert await service.job(done) == before
    assert (await service.finished(running))["status"] == "cancelled"


async def test_a_requested_cancellation_survives_a_crash(tmp_path: Path) -> None:
    # the script needs time to exit; the service is killed meanwhile
    script = """
import signal, sys, time
signal.signal(15, lambda *_: (time.sleep(1.5), print("saved"), sys.exit(0)))
print("up", flush=True)
time.sleep(60)
"""
    settings = {**WITHOUT_MLFLOW, "ASGARD_JOBS__STOP_GRACE_SECONDS": "10"}
    async with running_service(tmp_path / "data", settings) as service:
        job_id = await service.submit(script)
        await service.says(job_id, "up")
        await cancel(service, job_id)
        await service.kill()
        await service.start()
        job = await service.finished(job_id)
        assert (job["status"], job["exit_code"]) == ("cancelled", 0)
        assert job["logs"].endswith("saved\n")


async def test_cancelling_an_unknown_job_is_an_error(service: Service) -> None:
    status, problem = await service.post("/mlops/training/jobs/00000000/cancel")
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
