"""Registered models over HTTP, with a real MLflow and without one."""

from urllib.parse import quote

import pytest

from asgard_async.api.schemas.models import ModelVersionListSchema, RegisteredModelSchema
from asgard_async.api.schemas.status import StatusSchema
from asgard_async.mlflow.component import MONITOR
from tests.support.api_service import get_json, problem
from tests.support.app_server import Client
from tests.support.eventually import eventually
from tests.support.mlflow_user import MlflowUser, fresh


@pytest.mark.mlflow
async def test_models_are_listed_and_shown(tracked: Client, user: MlflowUser) -> None:
    name = fresh("Größe 1.0 ")
    experiment = await user.experiment()
    run = await user.run(experiment)
    version = await user.register(name, run, await user.log_model(experiment, run))
    response = await tracked.get("/mlops/models")
    models = await response.json()
    assert response.status == 200
    assert not RegisteredModelSchema(many=True).validate(models)
    (listed,) = (model for model in models if model["name"] == name)
    assert [one["version"] for one in listed["latest_versions"]] == [version]
    assert listed["latest_versions"][0]["run_id"] == run
    assert await get_json(tracked, f"/mlops/models/{quote(name)}") == listed


@pytest.mark.mlflow
@pytest.mark.parametrize("base", ["plain", "it's", 'a "b"', "back\\slash % _"])
async def test_all_versions_of_a_model_are_listed(
    tracked: Client, user: MlflowUser, base: str
) -> None:
    name = fresh(base)
    experiment = await user.experiment()
    run = await user.run(experiment)
    model = await user.log_model(experiment, run)
    await user.register(name, run, model)
    for _ in range(10):
        await user.add_version(name, run, model)
    path, seen = f"/mlops/models/{quote(name, safe='')}/versions", list[str]()
    query = {"limit": "4"}
    while True:
        page = await get_json(tracked, path, **query)
        assert not ModelVersionListSchema().validate(page)
        seen += [version["version"] for version in page["versions"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [str(number) for number in range(11, 0, -1)]
    await problem(await tracked.get(path, params={"cursor": "abc"}), 422)
    await problem(await tracked.get(path, params={"limit": "501"}), 422)


@pytest.mark.mlflow
async def test_versions_of_an_unknown_model_are_404(tracked: Client) -> None:
    await problem(await tracked.get("/mlops/models/no-such-model/versions"), 404)


@pytest.mark.mlflow
@pytest.mark.parametrize(
    "name", ["no-such-model", "a:b", "a%2Fb", "..%2Fa", "%00", "%20", "x" * 300]
)
async def test_an_unknown_model_is_404(tracked: Client, name: str) -> None:
    await problem(await tracked.get(f"/mlops/models/{name}"), 404)


@pytest.mark.mlflow
async def test_the_status_counts_models_and_experiments(tracked: Client, user: MlflowUser) -> None:
    await user.experiment()
    await eventually(lambda: tracked.app[MONITOR].snapshot.available, what="MLflow was seen")
    document = await get_json(tracked, "/mlops/status")
    assert not StatusSchema().validate(document)
    assert (document["mlflow_api"], document["mlflow_available"]) == ("accessible", True)
    assert document["active_experiments"] >= 1
    assert document["registered_models"] >= 0
    assert document["mlflow_latency_ms"] > 0


@pytest.mark.parametrize("path", ["/mlops/models", "/mlops/models/churn"])
async def test_without_mlflow_it_is_503(api: Client, path: str) -> None:
    document = await problem(await api.get(path), 503)
    assert "MLflow" in document["detail"]
