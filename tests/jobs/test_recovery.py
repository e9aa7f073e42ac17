"""Recovery after a crash, a reboot or a restart of the container."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from asgard_async.core.timestamps import now
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from tests.store.conftest import accept, new_job
from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service import UNREACHABLE_MLFLOW, Service, running_service

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

WAITS = """
import os, time
while not os.path.exists({go!r}):
    time.sleep(0.01)
print("done")
"""
BLOCK = "import time\nprint('up')\ntime.sleep(60)"
SETTINGS = {**UNREACHABLE_MLFLOW, "ASGARD_WARM__ENABLED": "false"}
REQUEUE = {**SETTINGS, "ASGARD_JOBS__REQUEUE_LOST": "true"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that the tests stop and start again."""
    async with running_service(tmp_path_factory.mktemp("service") / "data", SETTINGS) as started:
        yield started


def pid_file(service: Service, job_id: str, attempt: int = 1) -> Path:
    return service.data_dir / "jobs" / job_id / "attempts" / str(attempt) / "pid.json"


async def test_a_job_continues_while_the_service_is_dead(service: Service) -> None:
    script = "import time\nfor i in range(20): print(i); time.sleep(0.05)"
    job_id = await service.submit(script)
    await service.phase(job_id, "running")
    await service.kill()
    await eventually(lambda: pid_file(service, job_id).with_name("exit.json").exists())
    await service.start()
    job = await service.finished(job_id)
    assert (job["status"], job["exit_code"]) == ("completed", 0)
    assert job["logs"] == "".join(f"{i}\n" for i in range(20))


async def test_sigterm_leaves_running_jobs_alone(service: Service) -> None:
    go = service.data_dir.parent / "go"
    job_id = await service.submit(WAITS.format(go=str(go)))
    await service.phase(job_id, "running")
    assert await service.end(signal.SIGTERM) == 0
    assert processes_with(f"jobs/{job_id}")
    go.touch()
    await service.start()
    assert (await service.finished(job_id))["logs"] == "done\n"


async def test_drain_waits_for_running_jobs_and_starts_none(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1"}
    async with running_service(tmp_path / "data", settings, arguments=["--drain"]) as service:
        running = await service.submit("import time\ntime.sleep(1)\nprint('done')")
        queued = await service.submit("print('later')")
        await service.phase(running, "running")
        os.kill(service.pid, signal.SIGTERM)
        await eventually(lambda: _refuses(service), what="service refuses jobs")
        assert await service.end(0) == 0
        assert pid_file(service, running).with_name("exit.json").exists()
        assert not pid_file(service, queued).exists()
        await service.start()
        assert (await service.finished(running))["logs"] == "done\n"
        assert (await service.finished(queued))["logs"] == "later\n"


async def _refuses(service: Service) -> bool:
    status, ready = await service.get("/health/ready")
    if status != 503:
        return False
    assert ready["reasons"]
    status, problem = await service.upload("print()")
    assert (status, problem["status"]) == (503, 503)
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("settings", [SETTINGS, REQUEUE], ids=["lost", "requeue_lost"])
async def test_jobs_running_at_a_reboot_are_lost(
    tmp_path: Path, settings: dict[str, str], number: int
) -> None:
    """An orderly shutdown sends SIGTERM to every process, a power failure kills all."""
    async with running_service(tmp_path / "data", settings) as service:
        script = f"import os\nprint(os.path.exists({str(tmp_path / 'second')!r}))\n"
        script += (
            f"if not os.path.exists({str(tmp_path / 'second')!r}):\n import time; time.sleep(60)"
        )
        job_id = await service.submit(script)
        await service.says(job_id, "False\n")
        await _as_after_a_reboot(service, job_id, number)
        (tmp_path / "second").touch()
        await service.start()
        job = await service.finished(job_id)
    if settings is SETTINGS:
        assert (job["status"], job["reason"], job["exit_code"]) == ("failed", "lost", None)
        assert "vanished" in job["error"]
        assert job["logs"] == "False\n"
    else:
        assert (job["status"], job["exit_code"]) == ("completed", 0)
        assert job["logs"] == "False\nTrue\n"
        assert [e["phase"] for e in job["history"]].count("starting") == 2


async def _as_after_a_reboot(service: Service, job_id: str, number: int = signal.SIGKILL) -> None:
    """Kill all processes, and make the files name another boot."""
    await service.kill()
    file = pid_file(service, job_id)
    facts = msgspec.json.decode(file.read_bytes())
    keeper = int(file.with_name("lock").read_text().split()[0])
    for pid in (keeper, facts["shim_pid"], facts["job_pid"]):
        with contextlib.suppress(ProcessLookupError):  # killing one ends the others
            os.kill(pid, number)
    await eventually(lambda: not processes_with(str(file.parent)))
    file.write_bytes(msgspec.json.encode({**facts, "boot_id": "another"}))


async def test_a_cancelled_lost_job_is_not_requeued(tmp_path: Path) -> None:
    script = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up')\ntime.sleep(60)"
    settings = {**REQUEUE, "ASGARD_JOBS__STOP_GRACE_SECONDS": "60"}
    async with running_service(tmp_path / "data", settings) as service:
        job_id = await service.submit(script)
        await service.says(job_id, "up")
        await service.post(f"/mlops/training/jobs/{job_id}/cancel")
        await _as_after_a_reboot(service, job_id)
        await service.start()
        assert (await service.finished(job_id))["reason"] == "lost"


async def test_a_job_claimed_but_not_started_runs_after_the_restart(service: Service) -> None:
    # the row says STARTING and there are no files: as after a crash in between
    await service.end()
    async with Database(service.data_dir / "asgard.db") as database:
        store = JobStore(database)
        accepted = await accept(store, new_job(b"print(1)"))
        assert await store.claim_next(now()) is not None
    await service.start()
    job = await service.finished(accepted.job_id)
    assert (job["status"], job["logs"]) == ("completed", "1\n")
    assert job["history"][0]["phase"] == "queued"


async def test_files_of_deleted_jobs_are_removed_at_next_start(service: Service) -> None:
    stray = service.data_dir / "jobs" / "deadbeef" / "attempts" / "1"
    stray.mkdir(parents=True)
    kept = await service.submit("print('kept')")
    await service.finished(kept)
    await service.end()
    await service.start()
    await eventually(lambda: not stray.parent.parent.exists(), what="stray files are gone")
    assert (await service.job(kept))["logs"] == "kept\n"


async def test_a_second_service_on_the_same_data_is_refused(service: Service) -> None:
    second = Service(service.data_dir, SETTINGS)
    second.log = service.log.with_name("second.log")
    await second.spawn()
    assert second._process is not None
    assert await second._process.wait() == 1
    assert "Another Asgard service uses" in second.log.read_text()


async def test_the_data_directory_is_private(service: Service) -> None:
    await service.finished(await service.submit("print('x')"))
    for path in (service.data_dir, *service.data_dir.rglob("*")):
        parts = path.relative_to(service.data_dir).parts
        if {"work", "tmp", "uids"} & {*parts} or path.is_symlink():
            continue
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("victim", ["shim", "keeper"])
async def test_death_of_shim_or_keeper_means_lost(service: Service, victim: str) -> None:
    job_id = await service.submit(f"import os\nif os.fork() == 0: os.setsid()\n{BLOCK}")
    await service.phase(job_id, "running")
    file = pid_file(service, job_id)
    keeper = int(file.with_name("lock").read_text().split()[0])
    shim = msgspec.json.decode(file.read_bytes())["shim_pid"]
    os.kill(shim if victim == "shim" else keeper, signal.SIGKILL)
    job = await service.finished(job_id)
    assert (job["status"], job["reason"], job["exit_code"]) == ("failed", "lost", None)
    assert processes_with(f"jobs/{job_id}") == []
