"""Registering a run's model by hand, over HTTP."""

from typing import Any

import pytest

from asgard_async.api.schemas.models import ModelVersionSchema
from tests.api.http.test_json_body import MALFORMED, MISSHAPEN
from tests.support.api_service import problem, refused_fields
from tests.support.app_server import Client
from tests.support.mlflow_user import MlflowUser, fresh

REGISTRY = "/mlops/registry"
UNKNOWN_RUN = "0" * 32


@pytest.mark.mlflow
async def test_a_runs_model_becomes_a_version(tracked: Client, user: MlflowUser) -> None:
    name, experiment = fresh("model"), await user.experiment()
    run = await user.run(experiment)
    await user.log_model(experiment, run)
    body = {"model_name": name, "run_id": run, "description": "good", "tags": {"a/b": "c"}}
    response = await tracked.post(REGISTRY, json=body)
    version = await response.json()
    assert response.status == 201, version
    assert response.headers["Location"] == f"/mlops/models/{name}"
    assert not ModelVersionSchema().validate(version)
    assert (version["name"], version["version"], version["run_id"]) == (name, "1", run)
    assert (version["description"], version["tags"]) == ("good", {"a/b": "c"})


@pytest.mark.mlflow
async def test_an_unknown_run_is_404(tracked: Client) -> None:
    body = {"model_name": "m", "run_id": UNKNOWN_RUN}
    await problem(await tracked.post(REGISTRY, json=body), 404)


@pytest.mark.mlflow
async def test_a_run_without_a_model_is_422(tracked: Client, user: MlflowUser) -> None:
    run = await user.run(await user.experiment())
    response = await tracked.post(REGISTRY, json={"model_name": "m", "run_id": run})
    assert "has no model" in (await problem(response, 422))["detail"]


async def test_without_mlflow_it_is_503(api: Client) -> None:
    body = {"model_name": "m", "run_id": UNKNOWN_RUN}
    await problem(await api.post(REGISTRY, json=body), 503)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_name": "a/b"}, "model_name"),
        ({"model_name": ""}, "model_name"),
        ({"model_name": 5}, "model_name"),
        ({"run_id": "../x"}, "run_id"),
        ({"run_id": "a'b"}, "run_id"),
        ({"run_id": ""}, "run_id"),
        ({"run_id": "a\n"}, "run_id"),
        ({"run_id": None}, "run_id"),
        ({"description": "x" * 5001}, "description"),
        ({"description": "a\0"}, "description"),
        ({"description": 5}, "description"),
        ({"tags": {"a": 5}}, "tags.a"),
        ({"tags": {"mlflow.x": "a"}}, "tags.mlflow.x"),
        ({"tags": "x"}, "tags"),
        ({"stage": "Production"}, "stage"),
    ],
)
async def test_a_wrong_field_is_422(shared_api: Client, change: dict[str, Any], field: str) -> None:
    body = {"model_name": "m", "run_id": UNKNOWN_RUN, **change}
    assert (await refused_fields(await shared_api.post(REGISTRY, json=body))).keys() == {field}


async def test_missing_fields_are_named(api: Client) -> None:
    errors = await refused_fields(await api.post(REGISTRY, json={}))
    assert errors.keys() == {"model_name", "run_id"}


@pytest.mark.parametrize("body", [*MALFORMED.values()], ids=[*MALFORMED])
async def test_malformed_json_is_400(shared_api: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    await problem(await shared_api.post(REGISTRY, data=body, headers=headers), 400)


@pytest.mark.parametrize("body", [*MISSHAPEN.values()], ids=[*MISSHAPEN])
async def test_json_of_another_shape_is_422(shared_api: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    await refused_fields(await shared_api.post(REGISTRY, data=body, headers=headers))


async def test_a_body_of_another_type_is_415(api: Client) -> None:
    await problem(await api.post(REGISTRY, data={"model_name": "m"}), 415)
    await problem(await api.post(REGISTRY), 415)
