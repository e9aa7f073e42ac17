"""Runs and models of a job carry its tags, whatever its client sends, in a real MLflow."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from asgard_async.mlflow.attempt_tokens import AttemptTokens
from asgard_async.mlflow.server.attempt_token import Caller
from asgard_async.mlflow.server.written_runs import WrittenRuns
from tests.support.eventually import eventually
from tests.support.mlflow_api import named
from tests.support.mlflow_user import fresh, fresh_job_id
from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, Service, running_service

pytestmark = [pytest.mark.mlflow, pytest.mark.asyncio(loop_scope="module")]

API = "/api/2.0/mlflow/"
AJAX = "/ajax-api/2.0/mlflow/"
NOW_MS = 1_790_000_000_000
FORGED = [
    {"key": "asgard.job_id", "value": "forged"},
    {"key": "asgard.server_id", "value": "forged"},
    {"key": "team", "value": "a"},
]


class Job:
    """A caller with the token of an attempt."""

    def __init__(self, mlflow: "Mlflow", token: str, job_id: str) -> None:
        self.job_id = job_id
        self._mlflow = mlflow
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, path: str, body: Any, *, method: str = "POST", api: str = API) -> Any:
        data = json.dumps(body).encode() if not isinstance(body, bytes) else body
        status, answer = await self._mlflow.ask(method, api + path, data, self._headers)
        assert status == 200, answer
        return answer

    async def create_run(self, *, api: str = API, tags: Any = (), twice: bool = False) -> str:
        body: Any = {"experiment_id": self._mlflow.experiment_id, "tags": tags}
        answer = await self.call("runs/create", json.dumps(body) if twice else body, api=api)
        return str(answer["run"]["info"]["run_id"])

    async def create_model(self, *, api: str = API, tags: Any = ()) -> str:
        body = {"experiment_id": self._mlflow.experiment_id, "name": "m", "tags": tags}
        answer = await self.call("logged-models", body, api=api)
        return str(answer["model"]["info"]["model_id"])


class Mlflow:
    """The embedded server of a service."""

    def __init__(self, service: Service, uri: str, session: aiohttp.ClientSession) -> None:
        self.service = service
        self.uri = uri
        self._session = session
        self._tokens = AttemptTokens.open(service.data_dir / "mlflow-server")
        self._own = {"Authorization": f"Bearer {self._tokens.of_service()}"}
        self.experiment_id = ""

    def job(self, *, attempt: int = 1) -> Job:
        job_id = fresh_job_id()
        token = self._tokens.of_attempt(job_id, attempt, owner="ann", timeout_seconds=60)
        return Job(self, token, job_id)

    async def ask(
        self, method: str, path: str, data: bytes | None = None, headers: Any = None
    ) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", **(headers or {})}
        url = self.uri + path
        async with self._session.request(method, url, data=data, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def as_service(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        status, answer = await self.ask(method, path, data, self._own)
        assert status == 200, answer
        return answer

    async def run_tags(self, run_id: str) -> dict[str, Any]:
        answer = await self.as_service(f"{API}runs/get?run_id={run_id}")
        return named(answer["run"]["data"].get("tags", []))

    async def model_tags(self, model_id: str) -> dict[str, Any]:
        answer = await self.as_service(f"{API}logged-models/{model_id}")
        return named(answer["model"]["info"].get("tags", []))

    async def written_by(self, *jobs: Job) -> dict[tuple[str, str], bool]:
        """The runs by job, and whether the job resumed them."""
        ids = ",".join(job.job_id for job in jobs)
        answer = await self.as_service(f"/asgard/runs?job_ids={ids}")
        return {(run["job_id"], run["run_id"]): run["opened"] for run in answer["runs"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mlflow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mlflow]:
    data_dir = tmp_path_factory.mktemp("attribution") / "data"
    async with (
        running_service(data_dir, QUICK_TO_WARM) as service,
        aiohttp.ClientSession() as session,
    ):
        mlflow = Mlflow(service, await service.mlflow_uri(), session)
        created = await mlflow.as_service(API + "experiments/create", {"name": fresh("attributed")})
        mlflow.experiment_id = created["experiment_id"]
        yield mlflow


@pytest.mark.parametrize("api", [API, AJAX])
async def test_what_a_job_creates_carries_its_tags(mlflow: Mlflow, api: str) -> None:
    job = mlflow.job(attempt=3)
    run_id = await job.create_run(api=api, tags=FORGED)
    model_id = await job.create_model(api=api, tags=FORGED)
    for tags in (await mlflow.run_tags(run_id), await mlflow.model_tags(model_id)):
        assert (tags["asgard.job_id"], tags["asgard.attempt"]) == (job.job_id, "3")
        assert tags["asgard.server_id"] not in {"", "forged"}
        assert tags["team"] == "a"


async def test_bodies_are_read_as_mlflow_reads_them(mlflow: Mlflow) -> None:
    job = mlflow.job()
    twice = await job.create_run(tags=FORGED, twice=True)
    wide = json.dumps({"experiment_id": mlflow.experiment_id, "tags": FORGED}).encode("utf-16")
    answer = await job.call("runs/create", wide)
    for run_id in (twice, answer["run"]["info"]["run_id"], await job.create_run(tags=None)):
        assert (await mlflow.run_tags(run_id))["asgard.job_id"] == job.job_id


async def test_a_caller_without_a_token_is_not_a_job(mlflow: Mlflow) -> None:
    body = json.dumps({"experiment_id": mlflow.experiment_id}).encode()
    status, answer = await mlflow.ask("POST", API + "runs/create", body)
    assert status == 200
    assert "asgard.job_id" not in await mlflow.run_tags(answer["run"]["info"]["run_id"])


async def test_a_job_cannot_change_the_tags(mlflow: Mlflow) -> None:
    job, other = mlflow.job(), mlflow.job()
    run_id, model_id = await other.create_run(), await other.create_model()
    escaped = json.dumps({"run_id": run_id, "key": "asgard.job_id", "value": "x"}).replace(
        "asgard", "\\u0061sgard"
    )
    await job.call("runs/set-tag", escaped.encode())
    await job.call("runs/delete-tag", {"run_id": run_id, "key": "asgard.job_id"})
    await job.call("runs/log-batch", {"run_id": run_id, "tags": FORGED})
    await job.call(f"logged-models/{model_id}/tags", {"tags": FORGED}, method="PATCH")
    await job.call(f"logged-models/{model_id}/tags/asgard.job_id", {}, method="DELETE")
    for tags in (await mlflow.run_tags(run_id), await mlflow.model_tags(model_id)):
        assert (tags["asgard.job_id"], tags["team"]) == (other.job_id, "a")


WRITES: dict[str, dict[str, Any]] = {
    "runs/log-metric": {"key": "m", "value": 1.0, "timestamp": NOW_MS},
    "runs/log-parameter": {"key": "p", "value": "1"},
    "runs/log-batch": {"metrics": [{"key": "m", "value": 1.0, "timestamp": NOW_MS, "step": 1}]},
    "runs/set-tag": {"key": "team", "value": "a"},
    "runs/delete-tag": {"key": "team"},
    "runs/update": {"run_name": "renamed"},
    "runs/log-inputs": {},
}


@pytest.mark.parametrize("path", WRITES)
async def test_a_write_to_the_run_of_another_is_noted(mlflow: Mlflow, path: str) -> None:
    job, other = mlflow.job(), mlflow.job()
    run_id = await other.create_run(tags=FORGED)
    await job.call(path, {"run_id": run_id, **WRITES[path]})
    assert await mlflow.written_by(job, other) == {(job.job_id, run_id): False}


async def test_a_resumed_run_is_noted_as_opened(mlflow: Mlflow) -> None:
    job, other = mlflow.job(), mlflow.job()
    run_id = await other.create_run()
    await job.call("runs/log-metric", {"run_id": run_id, **WRITES["runs/log-metric"]})
    await job.call("runs/update", {"run_id": run_id, "status": "RUNNING"})
    await job.call("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": NOW_MS})
    assert await mlflow.written_by(job) == {(job.job_id, run_id): True}


async def test_artifacts_and_models_of_a_run_are_noted(mlflow: Mlflow) -> None:
    first, second, other = mlflow.job(), mlflow.job(), mlflow.job()
    run_id = await other.create_run()
    body = {"experiment_id": mlflow.experiment_id, "name": "m", "source_run_id": run_id}
    await first.call("logged-models", body)
    path = f"{mlflow.experiment_id}/{run_id}/artifacts/a.txt"
    await second.call(path, b"a", method="PUT", api="/api/2.0/mlflow-artifacts/artifacts/")
    noted = await mlflow.written_by(first, second, other)
    assert noted == {(job.job_id, run_id): False for job in (first, second)}


async def test_a_refused_write_is_not_noted(mlflow: Mlflow) -> None:
    job = mlflow.job()
    with pytest.raises(AssertionError, match="RESOURCE_DOES_NOT_EXIST"):
        await job.call("runs/log-metric", {"run_id": "f" * 32, **WRITES["runs/log-metric"]})
    assert await mlflow.written_by(job) == {}


async def test_only_the_service_reads_the_notes(mlflow: Mlflow) -> None:
    job = mlflow.job()
    for headers in (None, job._headers):
        status, answer = await mlflow.ask("GET", "/asgard/runs?job_ids=x", None, headers)
        assert (status, answer["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


async def test_notes_survive_a_crash_of_the_server(mlflow: Mlflow) -> None:
    job, other = mlflow.job(), mlflow.job()
    run_id = await other.create_run()
    await job.call("runs/log-metric", {"run_id": run_id, **WRITES["runs/log-metric"]})
    store = mlflow.service.data_dir / "mlflow"
    (pid,) = [
        pid
        for pid in processes_with(str(store))
        if b"server_program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(pid, signal.SIGKILL)

    async def answers() -> bool:
        try:
            async with asyncio.timeout(5):
                return bool(await mlflow.written_by(job))
        except (TimeoutError, aiohttp.ClientError):
            return False

    await eventually(answers, what="MLflow answers again", within=120)
    assert (await mlflow.run_tags(run_id))["asgard.job_id"] == other.job_id
    assert await mlflow.written_by(job) == {(job.job_id, run_id): False}


# --- the database ----------------------------------------------------------------------------


def caller(job_id: str, *, attempt: int = 1, expires_at: int = 1 << 40) -> Caller:
    return Caller(job_id=job_id, attempt=attempt, expires_at=expires_at)


async def test_runs_that_an_attempt_created_are_not_stored(tmp_path: Path) -> None:
    written = WrittenRuns(tmp_path / "runs.db")
    written.add_created(caller("a"), "r1")
    written.add(caller("a"), "r1", opened=False)
    written.add(caller("a", attempt=2), "r1", opened=False)
    assert [(run.run_id, run.attempt) for run in written.of_jobs(["a"])] == [("r1", 2)]
    written.close()


async def test_notes_on_old_jobs_are_dropped_at_the_start(tmp_path: Path) -> None:
    written = WrittenRuns(tmp_path / "runs.db")
    written.add(caller("old", expires_at=1), "r1", opened=True)
    written.add(caller("new"), "r1", opened=True)
    written.close()
    written = WrittenRuns(tmp_path / "runs.db")
    assert [run.job_id for run in written.of_jobs(["old", "new"])] == ["new"]
    written.close()


async def test_a_job_cannot_fill_the_disk_with_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgard_async.mlflow.server.written_runs.MAX_RUNS", 2)
    written = WrittenRuns(tmp_path / "runs.db")
    for number in range(5):
        written.add(caller("a"), f"r{number}", opened=False)
    assert len(list(written.of_jobs(["a"]))) == 2
    written.close()
