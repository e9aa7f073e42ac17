"""Fork servers of a real service: warm and cold starts, their reasons, and restarts of servers."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.archives import zip_of
from tests.support.eventually import eventually
from tests.support.package_index import package_index
from tests.support.processes import processes_with, state_of
from tests.support.service import UNCONFINED, WITHOUT_MLFLOW, Service, running_service
from tests.support.wheels import make_wheel

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

PRELOAD = '["numpy", "no_such_module"]'
SETTINGS = {
    **WITHOUT_MLFLOW,
    **UNCONFINED,  # built environments have fork servers only without isolation
    "ASGARD_WARM__PRELOAD": PRELOAD,
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "2",
}
USES_NUMPY = "import numpy\nprint('hello')\n"


async def ready(service: Service, number: int = 1) -> int:
    """Wait until `number` fork servers became ready; return the pid of the base environment's."""

    async def there() -> bool:
        return service.log.read_text().count("fork server of base is ready") >= number

    await eventually(there, what="the fork server is ready")
    (pid,) = processes_with_program(service)
    return pid


def processes_with_program(service: Service) -> list[int]:
    found = []
    for pid in processes_with(str(service.data_dir / "warm")):
        with contextlib.suppress(OSError):  # it has just exited
            if b"fork_server.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unharmed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service for tests that do not disturb its fork server."""
    data_dir = tmp_path_factory.mktemp("warm") / "data"
    async with running_service(data_dir, SETTINGS) as service:
        await ready(service)
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path / "data", SETTINGS) as service:
        await ready(service)
        yield service


async def start_of(service: Service, script: str, **fields: Any) -> tuple[str, str | None]:
    job = await service.finished(await service.submit(script, **fields))
    assert job["status"] == "completed", job
    return job["start"], job["cold_reason"]


async def test_a_job_importing_preloaded_modules_starts_warm(unharmed: Service) -> None:
    job = await unharmed.finished(await unharmed.submit(USES_NUMPY))
    assert (job["start"], job["cold_reason"]) == ("warm", None)
    assert (job["status"], job["exit_code"], job["logs"]) == ("completed", 0, "hello\n")


@pytest.mark.parametrize(
    ("script", "fields", "reason"),
    [
        (USES_NUMPY, {"warm": False}, "requested"),
        ("import json", {}, "imports"),
        ("print('hello')", {}, "imports"),
        (USES_NUMPY, {"script_name": "numpy.py"}, "modules"),
        (USES_NUMPY, {"script_name": "struct.py"}, "modules"),
        (USES_NUMPY, {"environment_vars": {"OMP_NUM_THREADS": "1"}}, "variables"),
        (USES_NUMPY, {"environment_vars": {"PYTHONHASHSEED": "0"}}, "variables"),
        (USES_NUMPY, {"environment_vars": {"LD_PRELOAD": ""}}, "variables"),
        (USES_NUMPY, {"environment_vars": {"OPENSSL_CONF": "/dev/null"}}, "variables"),
        (USES_NUMPY, {"environment_vars": {"MLFLOW_DISABLE_TELEMETRY": "1"}}, "variables"),
        # numpy looks it up on import; the fork server notices
        (USES_NUMPY, {"environment_vars": {"OPENBLAS_MAIN_FREE": "1"}}, "variables"),
    ],
)
async def test_a_cold_start_has_its_reason(
    unharmed: Service, script: str, fields: dict[str, Any], reason: str
) -> None:
    status, job = await unharmed.upload(script, **fields)
    assert status == 202, job
    job = await unharmed.finished(job["job_id"])
    assert (job["start"], job["cold_reason"]) == ("cold", reason)


async def test_variables_that_no_module_reads_do_not_matter(unharmed: Service) -> None:
    script = "import numpy, os\nassert os.environ['EPOCHS'] == '3'"
    assert await start_of(unharmed, script, environment_vars={"EPOCHS": "3"}) == ("warm", None)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"train.py": "import helper", "helper.py": "from numpy import e, pi"}, ("warm", None)),
        ({"train.py": "import helper", "helper.py": "import json"}, ("cold", "imports")),
        ({"train.py": "import numpy", "numpy.py": ""}, ("cold", "modules")),
        ({"train.py": "import numpy", "numpy/__init__.py": ""}, ("cold", "modules")),
    ],
)
async def test_modules_of_an_archive_are_considered(
    unharmed: Service, files: dict[str, str], expected: tuple[str, str | None]
) -> None:
    form = aiohttp.FormData()
    form.add_field("archive", zip_of(files), filename="a.zip")
    for name, value in {
        "entrypoint": "train.py",
        "experiment_name": "e",
        "model_name": "m",
    }.items():
        form.add_field(name, value)
    status, job = await unharmed.post("/mlops/training/upload", data=form)
    assert status == 202, job
    job = await unharmed.finished(job["job_id"])
    assert (job["status"], job["start"], job["cold_reason"]) == ("completed", *expected)


async def test_a_job_that_never_started_has_no_start_kind(unharmed: Service) -> None:
    waits = "import time; time.sleep(60)"
    running = [await unharmed.submit(waits) for _ in range(2)]
    queued = await unharmed.job(await unharmed.submit(USES_NUMPY))
    assert (queued["start"], queued["cold_reason"]) == (None, None)
    for job_id in (*running, queued["job_id"]):
        await unharmed.post(f"/mlops/training/jobs/{job_id}/cancel")
        await unharmed.finished(job_id)


async def test_a_killed_server_is_replaced_and_its_jobs_survive(service: Service) -> None:
    script = "import numpy, os, time\nprint('up')\nwhile not os.path.exists('go'): time.sleep(0.01)"
    job_id = await service.submit(script)
    await service.says(job_id, "up")
    (pid,) = processes_with_program(service)
    os.kill(pid, signal.SIGKILL)
    second = await ready(service, 2)
    assert second != pid
    (service.data_dir / "jobs" / job_id / "attempts" / "1" / "work" / "go").touch()
    job = await service.finished(job_id)
    assert (job["status"], job["start"]) == ("completed", "warm")
    assert await start_of(service, USES_NUMPY) == ("warm", None)


async def test_a_job_starts_cold_when_its_server_is_gone(service: Service) -> None:
    (pid,) = processes_with_program(service)
    os.kill(pid, signal.SIGSTOP)  # it accepts specs, which are lost with it
    job_id = await service.submit(USES_NUMPY)
    # it is opened together with the spec
    shim_log = service.data_dir / "jobs" / job_id / "attempts" / "1" / "shim.log"
    await eventually(shim_log.exists, what="the server has the spec")
    os.kill(pid, signal.SIGKILL)
    job = await service.finished(job_id)
    assert (job["status"], job["logs"]) == ("completed", "hello\n")
    assert (job["start"], job["cold_reason"]) == ("cold", "server_lost")
    assert [entry["phase"] for entry in job["history"]].count("starting") == 1


async def test_servers_stop_with_the_service_but_jobs_continue(service: Service) -> None:
    script = "import numpy, os, time\nprint('up')\nwhile not os.path.exists('go'): time.sleep(0.01)"
    job_id = await service.submit(script)
    await service.says(job_id, "up")
    (pid,) = processes_with_program(service)
    await service.kill()
    await eventually(lambda: state_of(pid) in {None, "Z"}, what="the fork server has exited")
    await service.start()
    (service.data_dir / "jobs" / job_id / "attempts" / "1" / "work" / "go").touch()
    job = await service.finished(job_id)
    assert (job["status"], job["start"], job["cold_reason"]) == ("completed", "warm", None)


async def test_a_warm_job_can_be_cancelled(unharmed: Service) -> None:
    job_id = await unharmed.submit("import numpy, time\nprint('up')\ntime.sleep(60)")
    await unharmed.says(job_id, "up")
    await unharmed.post(f"/mlops/training/jobs/{job_id}/cancel")
    job = await unharmed.finished(job_id)
    assert (job["reason"], job["signal"], job["start"]) == ("cancelled", "SIGTERM", "warm")


async def test_a_warm_job_without_its_lock_is_found_by_cmdline(
    unharmed: Service,
) -> None:
    script = "import numpy, os, time\nos.remove('../lock')\nprint('gone')\ntime.sleep(60)"
    job_id = await unharmed.submit(script)
    await unharmed.says(job_id, "gone")
    await unharmed.post(f"/mlops/training/jobs/{job_id}/cancel")
    job = await unharmed.finished(job_id)
    assert (job["reason"], job["start"]) == ("cancelled", "warm")


async def test_a_warm_job_ends_at_its_timeout(unharmed: Service) -> None:
    job_id = await unharmed.submit("import numpy, time\ntime.sleep(60)", timeout=1)
    job = await unharmed.finished(job_id)
    assert (job["reason"], job["start"]) == ("timeout", "warm")


async def test_warm_starts_can_be_turned_off(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ASGARD_WARM__ENABLED": "false"}
    async with running_service(tmp_path / "data", settings) as service:
        assert await start_of(service, USES_NUMPY) == ("cold", "off")
        assert processes_with_program(service) == []


async def test_a_server_over_its_memory_limit_is_not_used(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ASGARD_WARM__MAX_MEMORY_MB": "1"}
    async with running_service(tmp_path / "data", settings) as service:
        await eventually(
            lambda: "more than [warm] max_memory_mb" in service.log.read_text(),
            what="the log says so",
        )
        start, reason = await start_of(service, USES_NUMPY)
        assert (start, reason in {"no_server", "not_ready"}) == ("cold", True)


async def test_a_small_memory_limit_starts_the_job_cold(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ASGARD_LIMITS__MEMORY_MB": "200", "ASGARD_LIMITS__CGROUPS": "off"}
    async with running_service(tmp_path / "data", settings) as service:
        await ready(service)
        status, job = await service.upload(USES_NUMPY)
        assert status == 202
        job = await service.finished(job["job_id"])
        assert job["cold_reason"] == "memory_limit"


async def test_before_the_server_is_ready_jobs_start_cold(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ASGARD_WARM__PRELOAD": '["numpy", "mlflow"]'}
    async with running_service(tmp_path / "data", settings) as service:
        (pid,) = await eventually(lambda: processes_with_program(service))
        os.kill(pid, signal.SIGSTOP)
        assert await start_of(service, USES_NUMPY) == ("cold", "not_ready")
        os.kill(pid, signal.SIGCONT)
        await ready(service)
        assert await start_of(service, USES_NUMPY) == ("warm", None)


async def test_a_built_environment_in_use_gets_its_own_server(tmp_path: Path) -> None:
    settings = {
        **SETTINGS,
        "ASGARD_WARM__PRELOAD": '["small"]',
        "ASGARD_WARM__IDLE_SECONDS": "3",
    }
    script = "import small, sys\nprint(sys.prefix, sys.executable)"
    requirements = ["small"]
    packages = tmp_path / "packages"
    with package_index(packages) as index:
        make_wheel(packages, "small", "")
        make_wheel(packages, "mlflow_skinny", "", version="3")
        settings["ASGARD_ENVIRONMENTS__INDEX_URL"] = index
        async with running_service(tmp_path / "service" / "data", settings) as service:
            job_id = await service.submit(script, requirements=requirements)
            first = await service.finished(job_id, within=300)
            assert (first["status"], first["cold_reason"]) == ("completed", "not_ready")
            environments = str(service.data_dir / "environments")
            await eventually(
                lambda: service.log.read_text().count("is ready after") == 2,
                what="its server is ready",
            )
            second = await service.finished(await service.submit(script, requirements=requirements))
            assert (second["status"], second["start"]) == ("completed", "warm")
            assert second["logs"].startswith(environments)
            assert second["logs"] == first["logs"][-len(second["logs"]) :]
            # it has become idle
            await eventually(
                lambda: len(processes_with_program(service)) == 1, what="it has exited"
            )
            named = await service.submit(script, requirements=[*requirements, "mlflow-skinny>=3"])
            third = await service.finished(named, within=300)
            assert (third["status"], third["cold_reason"]) == ("completed", "requirements")
