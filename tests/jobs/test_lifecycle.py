"""Jobs whose files, disk or database fail: they still end exactly once, and free their slot."""

import os
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.support.eventually import eventually
from tests.support.service import UNCONFINED, WITHOUT_MLFLOW, Service, running_service

pytestmark = pytest.mark.service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service whose jobs can reach and corrupt the files of their attempts, as in `shared`."""
    settings = WITHOUT_MLFLOW | UNCONFINED | {"ASGARD_JOBS__MAX_CONCURRENT_JOBS": "3"}
    async with running_service(tmp_path / "data", settings) as started:
        yield started


async def test_a_job_that_deletes_its_own_directory_ends(shared: Service) -> None:
    """Lost, unless the service has just made the directory again to wait for the attempt's end."""
    job_id = await shared.submit("import os, shutil\nshutil.rmtree(os.path.abspath('..'))")
    job = await shared.finished(job_id)
    assert job["reason"] in {"lost", "succeeded"}


async def test_a_restart_finds_jobs_without_their_files(service: Service, tmp_path: Path) -> None:
    """One loses its directory while it runs, one while the service is stopped, one its lock."""
    without_directory = await service.submit(f"""
import os, shutil, time
open({str(tmp_path / "runs")!r}, "a").write("x")
shutil.rmtree(os.path.abspath(".."))
print("gone")
while not os.path.exists({str(tmp_path / "enough")!r}): time.sleep(0.01)
""")
    without_lock = await service.submit(f"""
import os, time
os.remove('../lock')
print('gone')
while not os.path.exists({str(tmp_path / "enough")!r}): time.sleep(0.01)
print('end')
""")
    for job_id in (without_directory, without_lock):
        await service.says(job_id, "gone")
    ended = await service.submit(f"""
import os, shutil, time
while not os.path.exists({str(tmp_path / "stopped")!r}): time.sleep(0.01)
shutil.rmtree(os.path.abspath('..'))
""")
    attempt = service.data_dir / "jobs" / ended / "attempts" / "1"
    await service.phase(ended, "running")
    await service.kill()
    (tmp_path / "stopped").touch()
    await eventually(lambda: not attempt.exists())
    await service.start()
    await service.phase(without_directory, "running")
    (tmp_path / "enough").touch()

    job = await service.finished(without_directory)
    assert [entry["phase"] for entry in job["history"]].count("starting") == 1
    assert (tmp_path / "runs").read_text() == "x"
    job = await service.finished(without_lock)
    assert (job["status"], job["logs"]) == ("completed", "gone\nend\n")
    job = await service.finished(ended)
    assert (job["status"], job["reason"]) == ("failed", "lost")


async def test_a_job_without_its_lock_can_be_cancelled(shared: Service) -> None:
    script = "import os, time\nos.remove('../lock')\nprint('gone')\ntime.sleep(60)"
    job_id = await shared.submit(script)
    await shared.says(job_id, "gone")
    await shared.post(f"/mlops/training/jobs/{job_id}/cancel")
    assert (await shared.finished(job_id))["reason"] == "cancelled"


@pytest.mark.parametrize(
    "spoil",
    [
        "os.mkdir('../exit.json')",
        "open('../exit.json', 'w').write('{'); os.kill(os.getppid(), 9); time.sleep(60)",
        "open('../exit.json', 'w').write('{}'); os.kill(os.getppid(), 9); time.sleep(60)",
        "open('../pid.json', 'w').write('['); os.kill(os.getppid(), 9); time.sleep(60)",
    ],
)
async def test_corrupted_files_mean_lost(shared: Service, spoil: str) -> None:
    job = await shared.finished(await shared.submit(f"import os, time\n{spoil}"))
    assert (job["status"], job["reason"]) == ("failed", "lost")


async def test_a_log_that_is_not_a_file_does_not_delay_the_end(shared: Service) -> None:
    script = "import os\nos.remove('../../../job.log')\nos.symlink('/', '../../../job.log')"
    job_id = await shared.submit(script, model_name="no-log")

    async def ended() -> bool:
        _, listed = await shared.get("/mlops/training/jobs", params={"model_name": "no-log"})
        return bool(listed["jobs"][0]["status"] == "completed")

    await eventually(ended, what=f"{job_id} is completed")


async def test_an_end_on_a_full_disk_is_recorded_later(service: Service) -> None:
    service.may_fail = True
    job_id = await service.submit("import time\ntime.sleep(0.5)\nraise SystemExit(3)")
    await service.phase(job_id, "running")
    # the database cannot grow: to the service the disk is full
    unlimited = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    size = (service.data_dir / "asgard.db-wal").stat().st_size
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (size, unlimited[1]))
    await eventually(
        lambda: "retrying in" in service.log.read_text(), what="service could not record"
    )
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, unlimited)
    job = await service.finished(job_id)
    assert (job["reason"], job["exit_code"]) == ("exit_code", 3)


async def test_an_unexecutable_program_fails_the_job(tmp_path: Path) -> None:
    settings = {**WITHOUT_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1"}
    async with running_service(tmp_path / "data", settings) as service:
        # a quarter of the stack is for arguments and environment (execve(2)), 128 KiB at least
        stack = resource.prlimit(service.pid, resource.RLIMIT_STACK)
        resource.prlimit(service.pid, resource.RLIMIT_STACK, (512 << 10, stack[1]))
        job_id = await service.submit(
            "print('never')",
            tags={f"tag{n}": "x" * 4900 for n in range(18)},
            environment_vars={f"VARIABLE{n}": "x" * 6000 for n in range(10)},
        )
        job = await service.finished(job_id)
        assert (job["status"], job["reason"]) == ("failed", "start_failed")
        assert "Argument list too long" in job["error"]
        # and its slot is free
        assert (await service.finished(await service.submit("print()")))["status"] == "completed"


@pytest.mark.parametrize("stopped", ["keeper", "shim"])
async def test_a_suspended_keeper_or_shim_allows_cancellation(
    shared: Service, stopped: str
) -> None:
    job_id = await shared.submit("import time\nprint('up')\ntime.sleep(60)")
    await shared.says(job_id, "up")
    attempt = shared.data_dir / "jobs" / job_id / "attempts" / "1"
    pids = {
        "keeper": int((attempt / "lock").read_text().split()[0]),
        "shim": msgspec.json.decode((attempt / "pid.json").read_bytes())["shim_pid"],
    }

    os.kill(pids[stopped], signal.SIGSTOP)
    await shared.post(f"/mlops/training/jobs/{job_id}/cancel")
    assert (await shared.finished(job_id))["reason"] == "cancelled"
