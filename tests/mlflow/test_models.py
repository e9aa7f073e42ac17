"""The public view of registered models, and registration of a run's model."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from asgard_async.domain.errors import TrackingNotFound, TrackingRejected, TrackingUnavailable
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.models import get_model, list_models, view_version
from asgard_async.mlflow.registration import register_run
from tests.support.mlflow_servers import serving
from tests.support.mlflow_user import MlflowUser, fresh

pytestmark = pytest.mark.mlflow


async def logged_run(user: MlflowUser) -> tuple[str, str, str]:
    experiment_id = await user.experiment()
    run_id = await user.run(experiment_id)
    return experiment_id, run_id, await user.log_model(experiment_id, run_id)


def moment(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


async def test_a_model_without_stages_shows_its_newest_version(
    gateway: MlflowGateway, user: MlflowUser
) -> None:
    _, run_id, model_id = await logged_run(user)
    name = fresh("model")
    before = datetime.now(UTC).replace(microsecond=0)
    await user.register(name, run_id, model_id)
    await user.add_version(name, run_id, model_id)
    await user.call(
        "POST", "registered-models/set-tag", {"name": name, "key": "team", "value": "a"}
    )
    await user.call(
        "POST", "registered-models/alias", {"name": name, "alias": "champion", "version": "1"}
    )

    model = await get_model(gateway, name)
    assert model["name"] == name
    assert model["description"] == ""
    assert model["tags"] == {"team": "a"}
    assert model["aliases"] == {"champion": "1"}
    assert before <= moment(model["created_at"]) <= moment(model["updated_at"])
    [version] = model["latest_versions"]
    assert before <= moment(version["created_at"]) <= moment(version["updated_at"])
    shown: dict[str, Any] = {**version}
    del shown["created_at"], shown["updated_at"]
    assert shown == {
        "name": name,
        "version": "2",
        "stage": "None",
        "run_id": run_id,
        "description": "",
        "tags": {},
    }
    assert model in await list_models(gateway)


async def test_each_stage_shows_its_newest_version(
    gateway: MlflowGateway, user: MlflowUser
) -> None:
    _, run_id, model_id = await logged_run(user)
    name = fresh("staged")
    await user.register(name, run_id, model_id)
    for _ in range(9):
        await user.add_version(name, run_id, model_id)
    move = {"name": name, "version": "2", "stage": "Production", "archive_existing_versions": False}
    await user.call("POST", "model-versions/transition-stage", move)

    latest = (await get_model(gateway, name))["latest_versions"]
    assert [(v["version"], v["stage"]) for v in latest] == [("10", "None"), ("2", "Production")]


async def test_an_empty_model_has_no_versions(gateway: MlflowGateway) -> None:
    name = fresh("empty")
    await gateway.create_registered_model(name)
    assert (await get_model(gateway, name))["latest_versions"] == []


async def test_a_prompt_is_not_a_model(gateway: MlflowGateway, user: MlflowUser) -> None:
    name = fresh("prompt")
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    await user.call("POST", "registered-models/create", {"name": name, "tags": tags})
    with pytest.raises(TrackingNotFound):
        await get_model(gateway, name)
    assert name not in {model["name"] for model in await list_models(gateway)}


async def test_an_unknown_model_is_not_found(gateway: MlflowGateway) -> None:
    with pytest.raises(TrackingNotFound):
        await get_model(gateway, fresh("none"))


async def test_registering_uses_the_newest_complete_model(
    gateway: MlflowGateway, user: MlflowUser
) -> None:
    experiment_id, run_id, _ = await logged_run(user)
    newest = await user.log_model(experiment_id, run_id)
    await user.log_model(experiment_id, run_id, ready=False)
    name = fresh("chosen")
    version = view_version(
        await register_run(
            gateway, model_name=name, run_id=run_id, description="why", tags={"k": "v"}
        )
    )
    assert (version["version"], version["run_id"]) == ("1", run_id)
    assert (version["description"], version["tags"]) == ("why", {"k": "v"})
    [registered] = await user.versions(name)
    assert registered["source"] == f"models:/{newest}"


async def test_registering_again_adds_a_version(gateway: MlflowGateway, user: MlflowUser) -> None:
    _, run_id, _ = await logged_run(user)
    name = fresh("again")
    for expected in ("1", "2"):
        version = await register_run(gateway, model_name=name, run_id=run_id)
        assert version.version == expected


async def test_registering_finds_a_model_among_the_artifacts(
    gateway: MlflowGateway, user: MlflowUser
) -> None:
    experiment_id = await user.experiment()
    run_id = await user.run(experiment_id)
    for path in ("a/plots/roc.png", "out/forest/MLmodel", "out/forest/model.pkl", "notes.txt"):
        await user.put_artifact(experiment_id, run_id, path)
    name = fresh("directory")
    await register_run(gateway, model_name=name, run_id=run_id)
    [registered] = await user.versions(name)
    assert registered["source"] == (
        f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts/out/forest"
    )


async def test_a_run_without_a_model_is_rejected_with_advice(
    gateway: MlflowGateway, user: MlflowUser
) -> None:
    run_id = await user.run(await user.experiment())
    with pytest.raises(TrackingRejected, match="log one in it"):
        await register_run(gateway, model_name=fresh("nothing"), run_id=run_id)


async def test_an_unknown_run_is_not_found(gateway: MlflowGateway) -> None:
    with pytest.raises(TrackingNotFound):
        await register_run(gateway, model_name="x", run_id="' OR run_id != '")


async def test_a_name_rejected_by_mlflow_is_rejected(
    gateway: MlflowGateway, user: MlflowUser
) -> None:
    _, run_id, _ = await logged_run(user)
    with pytest.raises(TrackingRejected, match="cannot contain"):
        await register_run(gateway, model_name="a/b", run_id=run_id)


async def test_a_rejected_listing_is_not_a_client_error() -> None:
    async def refuse(request: web.Request) -> web.Response:
        answer = {"error_code": "PERMISSION_DENIED", "message": "no"}
        return web.json_response(answer, status=403)

    async with (
        serving(refuse) as uri,
        MlflowGateway(MlflowAddress.parse(uri), timeout_seconds=5) as gateway,
    ):
        with pytest.raises(TrackingUnavailable, match="refuses to list its models"):
            await list_models(gateway)
