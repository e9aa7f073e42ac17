"""Models of ended jobs are registered exactly once, even after interruptions."""

import pytest
from aiohttp import web

from asgard_async.domain.errors import TrackingUnavailable
from asgard_async.domain.status import Reason
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.reconciler import RunReconciler
from tests.support.ended_jobs import SERVER, Script, ended_job, reconcile_one
from tests.support.mlflow_servers import Relay, serving
from tests.support.mlflow_user import MlflowUser, all_of, fresh

pytestmark = pytest.mark.mlflow

SEARCH, CREATE = "runs/search", "model-versions/create"


async def test_the_model_of_a_completed_job_is_registered_once(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    run_id, model_id = await script.run_with_model()
    name = fresh('it\'s "m"')
    job = ended_job(script.job_id, model_name=name, tags={"team": "a"})
    first = await reconcile_one(gateway, job)
    assert (first.tracking.run_id, first.tracking.model_version) == (run_id, "1")
    assert first.problem is None
    assert await reconcile_one(gateway, job) == first
    model = await gateway.registered_model(name)
    [version] = model.latest_versions
    assert version.version == "1"
    assert version.run_id == run_id
    tags = {tag.key: tag.value for tag in version.tags}
    assert tags == {"team": "a", "asgard.job_id": script.job_id}
    assert model_id.startswith("m-")


async def test_concurrent_reconciliation_registers_once(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    await script.run_with_model()
    name = fresh("twice")
    reconciler = RunReconciler(gateway, server_id=SERVER)
    job = ended_job(script.job_id, model_name=name)
    first, second = await all_of(reconciler.reconcile([job]), reconciler.reconcile([job]))
    assert first == second
    assert len(await user.versions(name)) == 1


async def test_jobs_sharing_a_model_name_get_own_versions(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    scripts = [script, *(Script(user, script.experiment_id) for _ in range(4))]
    made = await all_of(*(one.run_with_model() for one in scripts))
    name = fresh("contested")
    reconciled = await RunReconciler(gateway, server_id=SERVER).reconcile(
        [ended_job(one.job_id, model_name=name) for one in scripts]
    )
    versions = {reconciled[one.job_id].tracking.model_version for one in scripts}
    assert versions == {"1", "2", "3", "4", "5"}
    by_version = {version["version"]: version["run_id"] for version in await user.versions(name)}
    for one, (run_id, _) in zip(scripts, made, strict=True):
        assert by_version[reconciled[one.job_id].tracking.model_version] == run_id


async def test_a_version_registered_by_the_script_is_used(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    run_id, model_id = await script.run_with_model()
    name, other_name = fresh("own"), fresh("other")
    await user.register(other_name, run_id, model_id)
    for _ in range(3):
        await user.add_version(other_name, run_id, model_id)
    await user.register(name, run_id, model_id)
    newer = await user.add_version(name, run_id, model_id)
    reconciled = await reconcile_one(gateway, ended_job(script.job_id, model_name=name))
    assert reconciled.tracking.model_version == newer == "2"
    assert len(await user.versions(name)) == 2


async def test_a_version_from_another_run_is_the_fallback(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    earlier = await script.run(ended=10)
    name = fresh("earlier")
    await user.register(name, earlier, await user.log_model(script.experiment_id, earlier))
    last = await script.run(ended=20)
    job = ended_job(script.job_id, model_name=name)
    reconciled = await reconcile_one(gateway, job)
    assert (reconciled.tracking.run_id, reconciled.tracking.model_version) == (earlier, "1")

    await user.log_model(script.experiment_id, last)
    assert (await reconcile_one(gateway, job)).tracking.model_version == "2"
    assert [version["run_id"] for version in await user.versions(name)] == [earlier, last]


async def test_the_versions_run_does_not_matter(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    first, model_id = await script.run_with_model()
    name, other_name = fresh("moved"), fresh("other")
    # a version of another registered model with the same tag
    await user.register(other_name, first, model_id)
    marked = await user.add_version(other_name, first, model_id)
    mark = {"key": "asgard.job_id", "value": script.job_id}
    await user.call(
        "POST", "model-versions/set-tag", {"name": other_name, "version": marked, **mark}
    )
    job = ended_job(script.job_id, model_name=name)
    assert (await reconcile_one(gateway, job)).tracking.model_version == "1"
    await user.call("POST", "runs/delete", {"run_id": first})
    await script.run_with_model()
    assert (await reconcile_one(gateway, job)).tracking.model_version == "1"
    assert len(await user.versions(name)) == 1


async def test_an_older_mlflow_is_supported(relay: Relay, user: MlflowUser, script: Script) -> None:
    async def be_older(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("logged-models/search"):
            return web.Response(status=404, text="<html>", content_type="text/html")
        if b"NOT NULL" in await request.read():
            return web.json_response({"error_code": "INVALID_PARAMETER_VALUE"}, status=400)
        return await relay.handle(request)

    scripts = [script, Script(user, script.experiment_id)]
    for one in scripts:
        run_id = await one.run()
        await user.put_artifact(one.experiment_id, run_id, "model/MLmodel")
    name = fresh("older")
    async with serving(be_older) as uri:
        address = MlflowAddress.parse(uri)
        async with MlflowGateway(address, timeout_seconds=30) as gateway:
            reconciled = await RunReconciler(gateway, server_id=SERVER).reconcile(
                [ended_job(one.job_id, model_name=name) for one in scripts]
            )
    assert [reconciled[one.job_id].tracking.model_version for one in scripts] == ["1", "2"]


async def test_an_incomplete_job_registers_nothing(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    run_id, _ = await script.run_with_model()
    name = fresh("failed")
    job = ended_job(script.job_id, model_name=name, reason=Reason.EXIT_CODE)
    reconciled = await reconcile_one(gateway, job)
    assert (reconciled.tracking.run_id, reconciled.tracking.model_version) == (run_id, None)
    assert await user.versions(name) == []


async def test_a_run_without_a_model_is_not_a_problem(
    gateway: MlflowGateway, script: Script
) -> None:
    run_id = await script.run()
    reconciled = await reconcile_one(gateway, ended_job(script.job_id, model_name=fresh("none")))
    assert (reconciled.tracking.run_id, reconciled.tracking.model_version) == (run_id, None)
    assert reconciled.problem is None


async def test_a_rejected_model_name_affects_only_its_job(
    gateway: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    other = Script(user, script.experiment_id)
    refused, _ = await script.run_with_model()
    await other.run_with_model()
    reconciled = await RunReconciler(gateway, server_id=SERVER).reconcile(
        [
            ended_job(script.job_id, model_name="a/b"),
            ended_job(other.job_id, model_name=fresh("fine")),
        ]
    )
    assert reconciled[script.job_id].tracking.run_id == refused
    assert "Names cannot contain" in (reconciled[script.job_id].problem or "")
    assert reconciled[other.job_id].tracking.model_version == "1"


async def test_a_lost_registration_response_is_not_repeated(
    relay: Relay, relayed: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    await script.run_with_model()
    name = fresh("cut")
    await user.call("POST", "registered-models/create", {"name": name})
    relay.lose_answer(CREATE)
    job = ended_job(script.job_id, model_name=name)
    with pytest.raises(TrackingUnavailable):
        await reconcile_one(relayed, job)
    reconciled = await reconcile_one(relayed, job)
    assert reconciled.tracking.model_version == "1"
    assert len(await user.versions(name)) == 1


async def test_one_search_finds_all_registered_versions(
    relay: Relay, relayed: MlflowGateway, user: MlflowUser, script: Script
) -> None:
    scripts = [script, *(Script(user, script.experiment_id) for _ in range(4))]
    name = fresh("together")
    run_id, model_id = await script.run_with_model()
    await user.register(name, run_id, model_id)
    await all_of(*(one.run_with_model() for one in scripts[1:]))
    jobs = [ended_job(one.job_id, model_name=name, may_be_registered=False) for one in scripts]
    reconciled = await RunReconciler(relayed, server_id=SERVER).reconcile(jobs)
    assert reconciled[script.job_id].tracking.model_version == "1"
    assert len(await user.versions(name)) == len(scripts)
    assert relay.seen["model-versions/search"] == 1
