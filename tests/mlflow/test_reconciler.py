"""Reconciliation of ended jobs: it finds the right runs, and an outage loses nothing."""

import tracemalloc

import msgspec
import pytest
from aiohttp import web

from asgard_async.domain.errors import TrackingUnavailable
from asgard_async.domain.job import JobTracking
from asgard_async.domain.status import Reason
from asgard_async.mlflow import runs as runs_module
from asgard_async.mlflow import wire
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.connection import MAX_RESPONSE_BYTES
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.reconciler import Reconciliation, RunReconciler
from tests.support.ended_jobs import SERVER, Script, after, ended_job, reconcile_one
from tests.support.mlflow_servers import MlflowServer, Relay, serving
from tests.support.mlflow_user import MlflowUser, all_of, fresh, fresh_job_id, ms
from tests.support.service import free_port

pytestmark = pytest.mark.mlflow

SEARCH, CREATE = "runs/search", "model-versions/create"


async def test_two_jobs_in_one_experiment_each_have_their_own_run(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    other = Script(user, script.experiment_id)
    run_id, other_run_id = await script.run(ended=20), await other.run(ended=30)
    reconciled = await RunReconciler(gateway, server_id=SERVER).reconcile(
        [ended_job(script.job_id), ended_job(other.job_id)]
    )
    assert reconciled[script.job_id].tracking.run_id == run_id
    assert reconciled[other.job_id].tracking.run_id == other_run_id
    assert [run.run_id for run in reconciled[script.job_id].tracking.runs] == [run_id]


async def test_one_search_serves_all_jobs(
    relay: Relay, relayed: MlflowGateway, user: MlflowUser
) -> None:
    server = fresh("server")  # others fill more than one page with runs of SERVER
    scripts = [Script(user, await user.experiment()) for _ in range(6)]
    made = await all_of(*(script.run(server=server) for script in scripts))
    reconciled = await RunReconciler(relayed, server_id=server).reconcile(
        [ended_job(script.job_id, reason=Reason.EXIT_CODE) for script in scripts]
    )
    assert [reconciled[script.job_id].tracking.run_id for script in scripts] == made
    assert relay.seen[SEARCH] == 1


async def test_runs_are_read_over_all_pages_and_experiments(
    gateway: MlflowGateway, user: MlflowUser, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Script(user, await user.experiment(), script.job_id)
    made = [await script.run(ended=10 + n) for n in range(5)]
    made.append(await elsewhere.run(ended=20))
    monkeypatch.setattr(runs_module, "PAGE_SIZE", 2)
    monkeypatch.setattr(runs_module, "EXPERIMENTS_PER_SEARCH", 1)
    reconciled = await reconcile_one(gateway, ended_job(script.job_id))
    assert sorted(run.run_id for run in reconciled.tracking.runs) == sorted(made)
    assert reconciled.tracking.run_id == made[-1]


async def test_the_last_attempt_counts_and_earlier_are_listed(
    gateway: MlflowGateway, script: Script
) -> None:
    first = await script.run(ended=50, attempt=1)
    second = await script.run(ended=20, attempt=2)
    reconciled = await reconcile_one(gateway, ended_job(script.job_id, attempt=2))
    assert reconciled.tracking.run_id == second
    assert {run.run_id for run in reconciled.tracking.runs} == {first, second}

    third = await reconcile_one(gateway, ended_job(script.job_id, attempt=3))
    assert third.tracking.run_id is None
    assert {run.run_id for run in third.tracking.runs} == {first, second}


async def test_runs_of_another_service_do_not_count(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    stranger = await script.run(ended=None, server="server-2")
    other = fresh_job_id()
    reconciled = await RunReconciler(gateway, server_id=SERVER).reconcile(
        [ended_job(script.job_id, reason=Reason.LOST), ended_job(other, reason=Reason.LOST)]
    )
    assert reconciled[script.job_id] == Reconciliation(tracking=JobTracking())
    alone = await reconcile_one(gateway, ended_job(script.job_id, reason=Reason.LOST))
    assert alone == Reconciliation(tracking=JobTracking())
    assert (await user.run_info(stranger))["status"] == "RUNNING"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.CANCELLED, "KILLED"),
        (Reason.TIMEOUT, "KILLED"),
        (Reason.EXIT_CODE, "FAILED"),
        (Reason.SUCCEEDED, "FINISHED"),
    ],
)
async def test_runs_left_open_are_ended_with_their_job(
    gateway: MlflowGateway, user: MlflowUser, script: Script, reason: Reason, status: str
) -> None:
    closed = await script.run(ended=10)
    parent = await script.run(ended=None)
    child = await script.run(ended=None, mlflow__parentRunId=parent)
    reconciled = await reconcile_one(gateway, ended_job(script.job_id, reason=reason))
    for run_id in (parent, child):
        info = await user.run_info(run_id)
        assert (info["status"], info["end_time"]) == (status, ms(after(60)))
    assert (await user.run_info(closed))["end_time"] == ms(after(10))
    assert reconciled.tracking.run_id == (closed if reason is Reason.SUCCEEDED else parent)
    runs = {run.run_id: run for run in reconciled.tracking.runs}
    assert (runs[child].status, runs[child].ended_at) == (status, after(60))
    assert runs[child].parent_run_id == parent


@pytest.mark.parametrize(
    ("ended", "ended_at_exit", "status"),
    [
        (10, True, "FAILED"),
        (59.9, False, "FINISHED"),
        (59.9, None, "FAILED"),
        (58, None, "FINISHED"),
    ],
)
async def test_a_run_that_the_exit_ended_has_failed_with_its_job(
    gateway: MlflowGateway,
    user: MlflowUser,
    script: Script,
    ended: float,
    ended_at_exit: bool | None,
    status: str,
) -> None:
    """The script's output tells, or else its last second."""
    run_id = await script.run(ended=ended)
    named = {True: [run_id], False: [], None: None}[ended_at_exit]
    job = ended_job(script.job_id, reason=Reason.EXIT_CODE, ended_at_exit=named)
    for _ in range(2):
        reconciled = await reconcile_one(gateway, job)
        assert [run.status for run in reconciled.tracking.runs] == [status]
    info = await user.run_info(run_id)
    assert (info["status"], info["end_time"]) == (status, ms(after(ended)))


async def test_the_run_that_a_job_was_to_resume_is_its_run(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    """MLflow of one's own: the id is known from the job's variables."""
    earlier = Script(user, script.experiment_id)
    run_id = await earlier.run(ended=None)
    job = ended_job(script.job_id, resumes=run_id)
    reconciled = await reconcile_one(gateway, job)
    assert reconciled.tracking.run_id == run_id
    assert (await user.run_info(run_id))["status"] == "FINISHED"
    for unknown in ("0" * 32, "' OR 1"):
        none = await reconcile_one(gateway, ended_job(fresh_job_id(), resumes=unknown))
        assert none.tracking == JobTracking()


async def test_models_of_earlier_jobs_in_a_resumed_run_stay_theirs(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    earlier, name = Script(user, script.experiment_id), fresh("theirs")
    run_id, model_id = await earlier.run_with_model()
    await user.register(name, run_id, model_id)
    mark = {"name": name, "version": "1", "key": "asgard.job_id", "value": earlier.job_id}
    await user.call("POST", "model-versions/set-tag", mark)
    job = ended_job(script.job_id, resumes=run_id, model_name=name)
    reconciled = await reconcile_one(gateway, job)
    assert (reconciled.tracking.run_id, reconciled.tracking.model_version) == (run_id, None)
    assert reconciled.choice == "No model was registered: the script logged none."


async def test_a_run_that_cannot_be_ended_is_reported_open(relay: Relay, script: Script) -> None:
    async def refuse_update(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("runs/update"):
            return web.json_response({"error_code": "INVALID_PARAMETER_VALUE"}, status=400)
        return await relay.handle(request)

    run_id = await script.run(ended=None)
    async with serving(refuse_update) as uri:
        address = MlflowAddress.parse(uri)
        async with MlflowGateway(address, timeout_seconds=30) as gateway:
            reconciled = await reconcile_one(gateway, ended_job(script.job_id, reason=Reason.LOST))
    assert reconciled.tracking.run_id == run_id
    assert [run.status for run in reconciled.tracking.runs] == ["RUNNING"]


async def test_a_rejected_search_waits_for_the_administrator(script: Script) -> None:
    async def forbid(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error_code": "PERMISSION_DENIED", "message": "no"}, status=403)

    async with serving(forbid) as uri:
        address = MlflowAddress.parse(uri)
        async with MlflowGateway(address, timeout_seconds=30) as gateway:
            with pytest.raises(TrackingUnavailable, match="refuses"):
                await RunReconciler(gateway, server_id=SERVER).reconcile(
                    [ended_job(script.job_id), ended_job(fresh_job_id())]
                )


async def test_a_failure_at_one_job_does_not_block_the_others(
    relay: Relay, relayed: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    others = [Script(user, script.experiment_id) for _ in range(6)]
    for one in (script, *others):
        await one.run_with_model()
    poison = fresh("poison")
    jobs = [ended_job(script.job_id, model_name=poison)]
    jobs += [ended_job(one.job_id, model_name=fresh("good")) for one in others]
    relay.fail(CREATE, 500, poison.encode())
    reconciled = await RunReconciler(relayed, server_id=SERVER).reconcile(jobs)
    assert reconciled.keys() == {one.job_id for one in others}
    relay.recover()
    late = await RunReconciler(relayed, server_id=SERVER).reconcile(jobs)
    assert late.keys() == {job.job_id for job in jobs}
    for job in jobs:
        assert len(await user.versions(job.model_name)) == 1


async def test_a_failure_at_the_only_job_is_not_an_outage(
    relay: Relay, relayed: MlflowGateway, script: Script
) -> None:
    await script.run_with_model()
    relay.fail(CREATE, 500)
    job = ended_job(script.job_id, model_name=fresh("poison"))
    assert await RunReconciler(relayed, server_id=SERVER).reconcile([job]) == {}


async def test_an_outage_loses_and_repeats_nothing(
    mlflow_server: MlflowServer, user: MlflowUser, script: Script
) -> None:
    await script.run(ended=None)
    run_id, _ = await script.run_with_model()
    name = fresh("late")
    job = ended_job(script.job_id, model_name=name)
    address = MlflowAddress.parse(mlflow_server.uri)
    async with MlflowGateway(address, timeout_seconds=0.3) as impatient:
        with mlflow_server.stopped(), pytest.raises(TrackingUnavailable):
            await reconcile_one(impatient, job)
    async with MlflowGateway(address, timeout_seconds=30) as gateway:
        reconciled = [await reconcile_one(gateway, job) for _ in range(2)]
    assert reconciled[0] == reconciled[1]
    assert (reconciled[0].tracking.run_id, reconciled[0].tracking.model_version) == (run_id, "1")
    assert len(reconciled[0].tracking.runs) == 2


async def test_registering_is_retried_after_an_outage(
    relay: Relay, relayed: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    others = [Script(user, script.experiment_id) for _ in range(8)]
    name = fresh("again")
    for one in (script, *others):
        await one.run_with_model()
    jobs = [ended_job(one.job_id, model_name=name) for one in (script, *others)]
    relay.fail("logged-models/search", 503)
    with pytest.raises(TrackingUnavailable):
        await RunReconciler(relayed, server_id=SERVER).reconcile(jobs)
    # after the first failure the remaining jobs are not tried
    assert relay.seen["logged-models/search"] < len(jobs)
    relay.recover()
    reconciled = await RunReconciler(relayed, server_id=SERVER).reconcile(jobs)
    assert reconciled.keys() == {job.job_id for job in jobs}
    assert len(await user.versions(name)) == len(jobs)


async def test_an_absent_mlflow_is_unavailable() -> None:
    address = MlflowAddress.parse(f"http://127.0.0.1:{free_port()}")
    async with MlflowGateway(address, timeout_seconds=30) as gateway:
        with pytest.raises(TrackingUnavailable):
            await reconcile_one(gateway, ended_job(fresh_job_id()))
        assert await RunReconciler(gateway, server_id=SERVER).reconcile([]) == {}


async def test_an_oversized_run_does_not_affect_other_jobs(
    mlflow_server: MlflowServer, user: MlflowUser, script: Script
) -> None:
    other = Script(user, await user.experiment())
    await script.run(ended=20, huge="x" * 100_000)
    fine = await other.run(ended=20)
    address = MlflowAddress.parse(mlflow_server.uri)
    async with MlflowGateway(address, timeout_seconds=30, max_response_bytes=90_000) as gateway:
        reconciled = await RunReconciler(gateway, server_id=SERVER).reconcile(
            [ended_job(script.job_id), ended_job(other.job_id)]
        )
    assert reconciled[other.job_id].tracking.run_id == fine
    assert reconciled[script.job_id].tracking.run_id is None
    assert "cannot be read" in (reconciled[script.job_id].problem or "")


async def test_many_large_runs_are_read_in_smaller_pages(
    mlflow_server: MlflowServer, script: Script
) -> None:
    made = [await script.run(ended=20 + n, large="x" * 20_000) for n in range(6)]
    address = MlflowAddress.parse(mlflow_server.uri)
    async with MlflowGateway(address, timeout_seconds=30, max_response_bytes=60_000) as gateway:
        reconciled = await reconcile_one(gateway, ended_job(script.job_id))
    assert reconciled.tracking.run_id == made[-1]
    assert len(reconciled.tracking.runs) == 6


async def test_tags_of_runs_are_not_kept_in_memory(
    mlflow_server: MlflowServer, script: Script
) -> None:
    runs, size = 48, 600_000
    for n in range(runs):
        await script.run(ended=20 + n, large="x" * size)
    address = MlflowAddress.parse(mlflow_server.uri)
    async with MlflowGateway(address, timeout_seconds=30) as gateway:
        tracemalloc.start()
        try:
            reconciled = await reconcile_one(gateway, ended_job(script.job_id))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(reconciled.tracking.runs) == runs
    # one response while it is received, and one run's tags
    assert peak < 9 * MAX_RESPONSE_BYTES // 4 < runs * size


async def test_only_the_newest_of_too_many_runs_are_listed(
    gateway: MlflowGateway, user: MlflowUser, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgard_async.mlflow.runs.MAX_RUNS", 3)
    monkeypatch.setattr("asgard_async.mlflow.reconciler.MAX_RUNS", 3)
    monkeypatch.setattr("asgard_async.mlflow.runs.MAX_RUNS_PER_SEARCH", 4)
    made = [await script.run(ended=20 + n) for n in range(5)]
    other = Script(user, await user.experiment())
    fine = await other.run(ended=20)
    reconciled = await RunReconciler(gateway, server_id=SERVER).reconcile(
        [ended_job(script.job_id), ended_job(other.job_id)]
    )
    assert reconciled[other.job_id].tracking.run_id == fine
    assert len(reconciled[script.job_id].tracking.runs) == 3
    assert reconciled[script.job_id].tracking.run_id in made
    assert "3 runs or more" in (reconciled[script.job_id].problem or "")


async def test_only_the_jobs_run_keeps_its_metrics(
    gateway: MlflowGateway, script: Script, user: MlflowUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = await script.run(ended=20), await script.run(ended=30)
    for run_id in (first, last):
        values = {"rmse": 0.5, "loss": "NaN", "zero": 0, "system/cpu": 7.0}
        values |= {f"m{n:03}": n for n in range(100)}
        metrics = [{"key": k, "value": v, "timestamp": ms(after(9))} for k, v in values.items()]
        await user.call("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics})
        await user.call(
            "POST",
            "runs/log-metric",
            {"run_id": run_id, "key": "rmse", "value": 0.25, "timestamp": ms(after(10))},
        )
    for kept in (100, 0):  # without them, they are read separately
        monkeypatch.setattr(runs_module, "RUNS_WITH_METRICS", kept)
        tracking = (await reconcile_one(gateway, ended_job(script.job_id))).tracking
        assert tracking.run_id == last
        assert tracking.metrics["loss"] is None
        assert tracking.metrics["m098"] == 98
        assert len(tracking.metrics) == 100
        assert [run.run_id for run in tracking.runs if run.metrics] == [last]


async def test_names_of_metrics_are_sorted_and_bounded() -> None:
    data = wire.RunData(
        metrics=msgspec.Raw(
            b'[{"key": "system/cpu", "value": 1}, {"key": "b"}, {"key": "a", "value": "Infinity"}]'
        )
    )
    run = wire.Run(info=wire.RunInfo(run_id="r", experiment_id="1"), data=data)
    assert [*run.first_metrics().items()] == [("a", None), ("b", 0.0), ("system/cpu", 1.0)]
