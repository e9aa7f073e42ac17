"""Isolation levels: the best one that works is selected, an unavailable one is refused."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asgard_async.supervisor.shim import landlock
from tests.support.asgard_command import DEADLINE_SECONDS, asgard, command, environment
from tests.support.eventually import eventually
from tests.support.package_index import package_index
from tests.support.processes import processes_with
from tests.support.service import FIRST_UID, UNREACHABLE_MLFLOW, Service, running_service
from tests.support.service_users import (
    IS_ROOT,
    launcher,
    launcher_for_ordinary_user,
)
from tests.support.wheels import make_wheel

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = {**UNREACHABLE_MLFLOW, "ASGARD_WARM__ENABLED": "false"}
LEVEL = "ASGARD_ISOLATION__LEVEL"
WITHOUT_NAMESPACES = {"FORBID_NAMESPACES": "1"}

needs_root = pytest.mark.skipif(not IS_ROOT, reason="the tests are not run by root")
needs_landlock = pytest.mark.skipif(
    not landlock.abi(), reason="sandbox-lite: this kernel has no Landlock"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that selects the sandbox, with a fork server."""
    folder = tmp_path_factory.mktemp("sandboxed")
    with package_index(folder / "packages") as index:
        make_wheel(folder / "packages", "iniconfig", "")
        settings = {
            **UNREACHABLE_MLFLOW,
            "ASGARD_WARM__PRELOAD": '["iniconfig"]',
            "ASGARD_ENVIRONMENTS__INDEX_URL": index,
        }
        async with running_service(folder / "service" / "data", settings) as service:
            yield service


async def refused(service: Service) -> str:
    """The reason why it accepts no jobs."""
    status, ready = await service.get("/health/ready")
    assert (status, (await service.get("/health/live"))[0]) == (503, 200)
    status, problem = await service.upload("print()")
    assert (status, problem["type"]) == (503, "urn:asgard:problem:not-isolated")
    (reason,) = ready["reasons"]
    assert reason in problem["detail"]
    assert isinstance(reason, str)
    return reason


@needs_root  # to forbid namespaces to another user
async def test_a_broken_sandbox_rejects_jobs_and_keeps_the_queue(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    settings = {**SETTINGS, LEVEL: "sandbox", "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1"}
    async with running_service(data_dir, settings, launcher_for_ordinary_user(data_dir)) as service:
        running = await service.submit("import time\nprint('up')\ntime.sleep(600)")
        await service.says(running, "up")
        waiting = await service.submit("print('done')")
        await service.kill()
        service.settings.update(WITHOUT_NAMESPACES)
        await service.start()
        assert "sandbox" in await refused(service)
        # the running job is still followed; the queued one starts once the sandbox works again
        await service.post(f"/mlops/training/jobs/{running}/cancel")
        assert (await service.finished(running))["reason"] == "cancelled"
        assert (await service.job(waiting))["phase"] == "queued"
        await service.end()
        del service.settings["FORBID_NAMESPACES"]
        await service.start()
        assert (await service.finished(waiting))["status"] == "completed"


@needs_root
async def test_auto_selects_the_best_level_and_says_so(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    settings = {
        **SETTINGS,
        **WITHOUT_NAMESPACES,
        # Landlock cannot hide the data directory inside of an exposed one, and the probe notices
        "ASGARD_ISOLATION__READ_WRITE": "[]",
    }
    async with running_service(data_dir, settings, launcher_for_ordinary_user(data_dir)) as service:
        left = "sandbox-lite" if landlock.abi() else "process"
        _, ready = await service.get("/health/ready")
        assert ready["isolation"] == left
        (warning,) = [text for text in ready["warnings"] if "isolated" in text]
        assert f"isolated only by {left};" in warning
        assert warning.removesuffix(".") in service.log.read_text() or "sandbox does not" in (
            service.log.read_text()
        )
        _, figures = await service.get("/metrics")
        assert f'asgard_isolation_info{{level="{left}"}} 1.0' in figures
        job = await service.finished(await service.submit("print()"))
        assert job["isolation"] == left


async def test_the_isolation_level_is_shown_everywhere(sandboxed: Service) -> None:
    _, ready = await sandboxed.get("/health/ready")
    assert ready["isolation"] == "sandbox"
    assert not [text for text in ready["warnings"] if "isolated" in text]
    assert "jobs are isolated by sandbox" in sandboxed.log.read_text()
    assert 'asgard_isolation_info{level="sandbox"} 1.0' in (await sandboxed.get("/metrics"))[1]
    done = asgard("doctor", "--json", "--data-dir", sandboxed.data_dir)
    found = {finding["about"]: finding for finding in json.loads(done.stdout)}
    assert (found["isolation"]["level"], found["isolation"]["found"]) == ("ok", "sandbox")


@needs_root
async def test_doctor_explains_an_unavailable_level(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    done = await asyncio.to_thread(
        subprocess.run,
        [*launcher(0, tmp_path / "data"), *command("doctor", "--json")],
        env=environment(
            FORBID_LANDLOCK="1",
            ASGARD_DATA_DIR=str(tmp_path / "data"),
            ASGARD_ISOLATION__LEVEL="sandbox-lite",
        ),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    found = {finding["about"]: finding for finding in json.loads(done.stdout)}
    assert found["isolation"]["level"] == "fail"
    assert "landlock" in found["isolation"]["remedy"]


@needs_root  # to forbid namespaces to another user
@pytest.mark.parametrize("who", ["root", "ordinary"])
@pytest.mark.parametrize(
    ("level", "forbidden", "reason"),
    [("sandbox-lite", "FORBID_LANDLOCK", "Landlock"), ("sandbox", "FORBID_NAMESPACES", "sandbox")],
)
async def test_a_level_is_refused_without_its_prerequisites(
    tmp_path: Path, who: str, level: str, forbidden: str, reason: str
) -> None:
    data_dir = tmp_path / "data"
    settings = {**SETTINGS, LEVEL: level, forbidden: "1"}
    start = launcher(0, data_dir) if who == "root" else launcher_for_ordinary_user(data_dir)
    async with running_service(data_dir, settings, start) as service:
        assert reason in await refused(service)


@needs_root
async def test_the_sandbox_works_without_landlock(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    settings = {**SETTINGS, LEVEL: "sandbox", "FORBID_LANDLOCK": "1"}
    async with running_service(data_dir, settings, launcher_for_ordinary_user(data_dir)) as service:
        job = await service.finished(await service.submit("print('well')"))
        assert (job["isolation"], job["logs"]) == ("sandbox", "well\n")


async def test_separate_users_need_a_service_run_by_root(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    settings = {**SETTINGS, LEVEL: "user"}
    start = launcher_for_ordinary_user(data_dir)
    async with running_service(data_dir, settings, start) as service:
        assert "not root" in await refused(service)


LOOKING = """
import os, time
def tried(path):
    try:
        return os.listdir(path) if os.path.isdir(path) else open(path).read(1)
    except OSError as error:
        return type(error).__name__
data = os.environ["DATA"]
print("uid", os.getuid(), os.getgroups())
for path in (data, f"{data}/asgard.db", f"{data}/jobs", f"{data}/audit.log", os.environ["OTHER"],
             "../pid.json", f"/proc/{os.environ['SERVICE_PID']}/environ"):
    print(tried(path))
"""


@pytest.mark.parametrize("level", ["user", pytest.param("sandbox-lite", marks=needs_landlock)])
@needs_root
async def test_a_job_run_as_another_user_sees_only_its_files(tmp_path: Path, level: str) -> None:
    data_dir = tmp_path / "data"
    settings = {**SETTINGS, LEVEL: level, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "2"}
    async with running_service(data_dir, settings, launcher(0, data_dir)) as service:
        assert (await service.get("/health/ready"))[1].get("isolation") == level
        script = "import os\nopen('secret', 'w').write('x')\nprint(os.getcwd())"
        before = (await service.finished(await service.submit(script)))["logs"].strip()
        variables = {"DATA": str(data_dir), "OTHER": before, "SERVICE_PID": str(service.pid)}
        # with the same user as the job before
        job = await service.finished(await service.submit(LOOKING, environment_vars=variables))
        assert job["isolation"] == level
        uid, *held = job["logs"].splitlines()
        assert uid == f"uid {FIRST_UID} []"
        assert set(held) == {"PermissionError"}
        assert len(held) == 7


@needs_root
async def test_concurrent_jobs_have_distinct_users(tmp_path: Path) -> None:
    script = "import os, time\nprint('uid', os.getuid())\ntime.sleep(600)"
    settings = {**SETTINGS, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "3"}
    async with running_service(tmp_path / "data", settings) as service:
        jobs = [await service.submit(script) for _ in range(2)]
        for job_id in jobs:
            await service.says(job_id, "uid")
        await service.kill()
        await service.start()
        jobs.append(await service.submit(script))
        await service.says(jobs[-1], "uid")
        users = [(await service.job(job_id))["logs"] for job_id in jobs]
        assert sorted(users) == [f"uid {FIRST_UID + n}\n" for n in range(3)]
        for job_id in jobs:
            await service.post(f"/mlops/training/jobs/{job_id}/cancel")
        for job_id in jobs:
            await service.finished(job_id)


async def test_a_built_environment_is_never_imported_outside(sandboxed: Service) -> None:
    script = "import iniconfig, sys\nprint(iniconfig.__file__)\nopen(iniconfig.__file__, 'a')"
    job_id = await sandboxed.submit(script, requirements=["iniconfig<2"])
    job = await sandboxed.finished(job_id)
    assert (job["start"], job["cold_reason"]) == ("cold", "isolation"), job
    assert str(sandboxed.data_dir / "environments") in job["logs"]
    assert job["logs"].splitlines()[-1].startswith(("OSError", "PermissionError"))


async def test_an_orphan_in_the_sandbox_dies_with_its_job(sandboxed: Service) -> None:
    mark = f"mark-{os.urandom(8).hex()}"
    script = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sh", ["sh", "-c", "sleep 600", {mark!r}], {{}})
    os._exit(0)
time.sleep(0.2)
"""
    job = await sandboxed.finished(await sandboxed.submit(script))
    assert job["status"] == "completed"
    await eventually(lambda: not processes_with(mark), what="nothing is left")
