"""The embedded MLflow server with a real service: adopted, restarted, stopped in time."""

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service import (
    QUICK_TO_WARM,
    UNREACHABLE_MLFLOW,
    Service,
    free_port,
    running_service,
)

pytestmark = pytest.mark.mlflow

FOREIGN = "mlflow-server/attempts/.Trash"
WAIT_FOR = "import os, time\nwhile not os.path.exists({!r}): time.sleep(0.02)\n"
EARLY = [
    "health",
    *["api/2.0/mlflow/experiments/search?max_results=1"] * 4,
    *["api/2.0/mlflow/registered-models/search?max_results=1"] * 4,
]
SETTINGS = {
    **QUICK_TO_WARM,
    "ASGARD_TRACKING__REFRESH_SECONDS": "1",
    "ASGARD_TRACKING__REQUEST_TIMEOUT_SECONDS": "2",
}
# imports a module outside the standard library, so that the service waits for the job's runs
MAKES_A_RUN = """
import json, msgspec, os, urllib.request
marks = json.loads(os.environ["MLFLOW_RUN_CONTEXT"])
api = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/"
def ask(path, body=None):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(api + path, data, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))
name = os.environ["MLFLOW_EXPERIMENT_NAME"]
experiment = ask("experiments/get-by-name?experiment_name=" + name)["experiment"]
tags = [{"key": key, "value": value} for key, value in marks.items()]
body = {"experiment_id": experiment["experiment_id"], "tags": tags, "start_time": 1}
import time
body["start_time"] = int(time.time() * 1000)
print("run", ask("runs/create", body)["run"]["info"]["run_id"], flush=True)
"""


async def state(service: Service, wanted: str) -> None:
    async def look() -> bool:
        return bool((await service.get("/mlops/status"))[1]["mlflow_api"] == wanted)

    await eventually(look, what=f"MLflow is {wanted}")


def mlflow_pid(service: Service) -> int:
    """The process of the server itself, not its shim or keeper."""
    (pid,) = [
        pid
        for pid in processes_with(str(service.data_dir / "mlflow"))
        if b"server_program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return pid


def mlflow_processes(service: Service) -> list[int]:
    return processes_with(str(service.data_dir / "mlflow"))


async def recorded(service: Service, job_id: str, run_id: str) -> None:
    """Wait until the service knows the run of a job."""

    async def is_known() -> bool:
        return bool((await service.job(job_id))["run_id"] == run_id)

    await eventually(is_known, what=f"the run of {job_id} is recorded")


async def get_run(uri: str, run_id: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{uri}/api/2.0/mlflow/runs/get", params={"run_id": run_id}) as response,
    ):
        run: dict[str, Any] = (await response.json())["run"]
        return run


async def test_a_service_that_is_stopped_at_once_leaves_no_server(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", SETTINGS) as service:
        for _ in range(2):
            assert await service.end() == 0
            assert mlflow_processes(service) == []
            await service.start()


async def test_it_stops_with_the_last_job_after_the_service(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with running_service(tmp_path / "data", SETTINGS) as service:
        uri = await service.mlflow_uri()
        job_id = await service.submit(WAIT_FOR.format(str(go)))
        await service.phase(job_id, "running")
        assert await service.end() == 0
        pid = mlflow_pid(service)
        # a service that starts meanwhile adopts it, which cancels the pending stop
        await service.start()
        assert (await service.mlflow_uri(), mlflow_pid(service)) == (uri, pid)
        assert await service.end() == 0
        assert mlflow_pid(service) == pid
        go.touch()
        await eventually(lambda: not mlflow_processes(service), what="MLflow has stopped")
        service.settings |= UNREACHABLE_MLFLOW  # it starts faster
        await service.start()
        assert (await service.finished(job_id))["status"] == "completed"


@pytest.mark.parametrize(
    "stopped",
    [
        pytest.param("keeper", marks=pytest.mark.soak),
        pytest.param("shim", marks=pytest.mark.soak),
        "server",
    ],
)
async def test_the_service_stops_in_time_with_a_hung_mlflow(tmp_path: Path, stopped: str) -> None:
    async with running_service(tmp_path / "data", SETTINGS) as service:
        await service.mlflow_uri()
        (attempt,) = (service.data_dir / "mlflow-server" / "attempts").iterdir()
        pids = {
            "keeper": int((attempt / "lock").read_text().split()[0]),
            "shim": msgspec.json.decode((attempt / "pid.json").read_bytes())["shim_pid"],
            "server": mlflow_pid(service),
        }
        os.kill(pids[stopped], signal.SIGSTOP)
        assert await service.end(within=30) == 0
        await eventually(lambda: not mlflow_processes(service), what="MLflow has stopped")


@dataclass
class ServiceInOddDirectory:
    """A service with MLflow in an oddly named directory that contains a foreign file."""

    service: Service
    uri: str
    early: dict[str, Any]
    """Its status before MLflow was up."""
    responses: list[int]
    """The status codes of concurrent requests to MLflow from that time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def odd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceInOddDirectory]:
    data_dir = tmp_path_factory.mktemp("odd") / "a b?c=d%20é#f" / "data"
    (data_dir / FOREIGN).mkdir(parents=True)
    async with running_service(data_dir, SETTINGS) as service:
        _, status = await service.get("/mlops/status")
        uri = status["mlflow_tracking_uri"]
        responses = await asyncio.gather(*(responds(f"{uri}/{path}") for path in EARLY))
        assert await service.mlflow_uri() == uri
        yield ServiceInOddDirectory(service=service, uri=uri, early=status, responses=responses)


async def responds(address: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        return response.status


@pytest.mark.asyncio(loop_scope="module")
async def test_concurrent_early_callers_wait_until_it_is_up(odd: ServiceInOddDirectory) -> None:
    """Each of them would create the tables, and all but one would fail."""
    assert odd.early["mlflow_api"] == "starting"
    counts = odd.early["registered_models"], odd.early["active_experiments"]
    assert counts == (None, None)
    assert odd.responses == [200] * len(EARLY)


@pytest.mark.asyncio(loop_scope="module")
async def test_foreign_files_beside_its_attempts_are_kept(odd: ServiceInOddDirectory) -> None:
    assert (odd.service.data_dir / FOREIGN).exists()


@pytest.mark.asyncio(loop_scope="module")
async def test_its_store_works_in_an_oddly_named_directory(odd: ServiceInOddDirectory) -> None:
    assert (odd.service.data_dir / "mlflow" / "mlflow.db").exists()
    parent = odd.service.data_dir.parent
    assert [path.name for path in parent.parent.iterdir()] == [parent.name]


@pytest.mark.asyncio(loop_scope="module")
async def test_its_database_has_a_write_ahead_log(odd: ServiceInOddDirectory) -> None:
    database = sqlite3.connect(odd.service.data_dir / "mlflow" / "mlflow.db")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_runs_of_killed_jobs_are_ended(odd: ServiceInOddDirectory) -> None:
    service, never = odd.service, "never"
    fails = await service.submit(MAKES_A_RUN + "raise SystemExit(3)")
    killed = await service.submit(MAKES_A_RUN + WAIT_FOR.format(never), timeout=5)
    cancelled = await service.submit(MAKES_A_RUN + WAIT_FOR.format(never))
    await service.says(cancelled, "run ")
    await service.post(f"/mlops/training/jobs/{cancelled}/cancel")
    ended = {}
    for job_id in (fails, killed, cancelled):
        job = await service.finished(job_id)
        run_id = job["logs"].split()[-1]
        await recorded(service, job_id, run_id)
        ended[job["reason"]] = (await get_run(odd.uri, run_id))["info"]["status"]
    assert ended == {"exit_code": "FAILED", "timeout": "KILLED", "cancelled": "KILLED"}


@pytest.mark.asyncio(loop_scope="module")
async def test_runs_are_recorded_after_a_database_failure(odd: ServiceInOddDirectory) -> None:
    service = odd.service
    service.may_fail = True
    database = sqlite3.connect(service.data_dir / "asgard.db", isolation_level=None)
    database.execute(
        "CREATE TRIGGER full BEFORE UPDATE OF run_id ON jobs"
        " BEGIN SELECT RAISE(FAIL, 'as if the disk were full'); END"
    )
    job_id = await service.submit(MAKES_A_RUN)
    await eventually(
        lambda: "as if the disk were full" in service.log.read_text(), what="recorder has failed"
    )
    assert (await service.finished(job_id))["run_id"] is None
    database.execute("DROP TRIGGER full")
    database.close()

    await recorded(service, job_id, (await service.job(job_id))["logs"].split()[-1])


async def test_a_taken_port_is_replaced_once_and_kept(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = {**SETTINGS, "ASGARD_MLFLOW__PORT": str(port)}
        async with running_service(tmp_path / "data", settings) as service:
            _, first = await service.get("/mlops/status")
            assert not first["mlflow_tracking_uri"].endswith(f":{port}")
            taken.close()
            await service.end()
            await service.start()
            _, second = await service.get("/mlops/status")
            assert second["mlflow_tracking_uri"] == first["mlflow_tracking_uri"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_is_recorded_though_mlflow_starts_late(odd: ServiceInOddDirectory) -> None:
    service = odd.service
    go = service.data_dir.parent / "go"
    job_id = await service.submit(MAKES_A_RUN + WAIT_FOR.format(str(go)))
    await service.says(job_id, "run ")
    run_id = (await service.job(job_id))["logs"].split()[-1]
    pid = mlflow_pid(service)
    os.kill(pid, signal.SIGSTOP)
    try:
        await state(service, "unreachable")
        go.touch()
        job = await service.finished(job_id)
        assert (job["status"], job["run_id"]) == ("completed", None)
        # the service may be killed before it has done this
        await service.kill()
        await service.start()
        assert (await service.job(job_id))["run_id"] is None
    finally:
        os.kill(pid, signal.SIGCONT)
    await recorded(service, job_id, run_id)
    assert (await get_run(odd.uri, run_id))["info"]["status"] == "FINISHED"


@pytest.mark.asyncio(loop_scope="module")
async def test_it_outlives_service_crashes_and_is_restarted(odd: ServiceInOddDirectory) -> None:
    service, uri = odd.service, odd.uri
    before = mlflow_pid(service)
    for _ in range(2):
        await service.kill()
        await service.start()
        assert (await service.mlflow_uri(), mlflow_pid(service)) == (uri, before)

    # it exits while the service is busy: nobody else can take its port
    os.kill(service.pid, signal.SIGSTOP)
    try:
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: not mlflow_processes(service), what="MLflow is gone")
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with pytest.raises(OSError, match="in use"):
                    other.bind((host, int(uri.rpartition(":")[2])))
    finally:
        os.kill(service.pid, signal.SIGCONT)
    await state(service, "starting")
    assert await service.mlflow_uri() == uri
    assert mlflow_pid(service) != before
    job_id = await service.submit(MAKES_A_RUN)
    job = await service.finished(job_id)
    assert job["status"] == "completed", job["logs"]
    run_id = job["logs"].split()[-1]
    await recorded(service, job_id, run_id)
    assert (await get_run(uri, run_id))["info"]["status"] == "FINISHED"


async def test_an_external_server_is_neither_started_nor_stopped(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ASGARD_MLFLOW__TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    async with running_service(tmp_path / "data", settings) as service:
        await state(service, "unreachable")
        assert mlflow_processes(service) == []
