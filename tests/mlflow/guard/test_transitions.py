"""The guard as it is switched on, by the first token or by an upgrade, and what others may read."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support import owned_things
from tests.support.eventually import eventually
from tests.support.guarded_mlflow import (
    GuardedMlflow,
    create_tokens,
    guarded_mlflow,
)
from tests.support.mlflow_api import MlflowApi
from tests.support.service import QUICK_TO_WARM, Service, running_service, submission

pytestmark = [pytest.mark.mlflow, pytest.mark.service, pytest.mark.slow]
API = "/api/2.0/mlflow/"
TRAINS = """
import mlflow
from mlflow import MlflowClient
client = MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_metric("m", 1)
model = mlflow.initialize_logged_model(name="m", source_run_id=run.info.run_id)
mlflow.finalize_logged_model(model.model_id, "READY")
"""


async def registered(service: Service, secret: str | None, model: str, version: str) -> Any:
    """Run a job until its model is registered; return the job."""
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    status, job = await service.post(
        "/mlops/training/upload",
        headers=headers,
        json=submission(TRAINS, experiment_name="both", model_name=model),
    )
    assert status == 202, job

    async def is_registered() -> Any:
        _, found = await service.get(f"/mlops/training/jobs/{job['job_id']}", headers=headers)
        assert found["status"] != "failed", found
        return found if found["model_version"] == version else None

    return await eventually(is_registered, within=120, what=f"{model} {version} is registered")


async def set_tag(guarded: GuardedMlflow, owner: str, run_id: str) -> int:
    body = {"run_id": run_id, "key": "k", "value": "v"}
    status, _ = await guarded.ask("POST", API + "runs/set-tag", guarded.attempt(owner), json=body)
    return status


async def test_the_first_token_switches_the_guard_on(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with (
        running_service(data_dir, QUICK_TO_WARM) as service,
        aiohttp.ClientSession() as session,
    ):
        uri = await service.mlflow_uri()
        await MlflowApi(uri, session).get("experiments/get", experiment_id="0")
        await registered(service, None, "churn", "1")
        secrets = create_tokens(data_dir)

        async def is_on() -> bool:
            async with session.get(f"{uri}/version") as response:
                return response.status == 401

        await eventually(is_on, what="MLflow requires a token")
        # a model that nobody owns belongs to the first owner who registers a version
        await registered(service, secrets["bob"], "churn", "2")
        guarded = GuardedMlflow(service=service, uri=uri, secrets=secrets, session=session)
        body = {"name": "churn", "description": "mine"}
        for name, expected in (("ann", 403), ("bob", 200)):
            status, text = await guarded.ask(
                "PATCH", API + "registered-models/update", secrets[name], json=body
            )
            assert status == expected, text


async def test_an_upgrade_gives_earlier_runs_to_their_owners(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    secrets = create_tokens(data_dir)
    async with running_service(data_dir, QUICK_TO_WARM | {"ASGARD_MLFLOW__GUARD": "off"}) as old:
        old.headers["Authorization"] = f"Bearer {secrets['boss']}"
        await old.mlflow_uri()
        anns = await registered(old, secrets["ann"], "of-ann", "1")
        bobs = await registered(old, secrets["bob"], "of-bob", "1")
    async with (
        running_service(data_dir, QUICK_TO_WARM) as service,
        aiohttp.ClientSession() as session,
    ):
        service.headers["Authorization"] = f"Bearer {secrets['boss']}"
        uri = await service.mlflow_uri()
        guarded = GuardedMlflow(service=service, uri=uri, secrets=secrets, session=session)

        async def is_anns() -> bool:
            return await set_tag(guarded, "ann", anns["run_id"]) == 200

        await eventually(is_anns, what="Ann's run is hers")
        assert await set_tag(guarded, "bob", anns["run_id"]) == 403
        assert await set_tag(guarded, "bob", bobs["run_id"]) == 200
        assert await set_tag(guarded, "ann", bobs["run_id"]) == 403
        await registered(service, secrets["ann"], "of-ann", "2")
        await registered(service, secrets["bob"], "of-bob", "2")
        body = {"name": "of-ann", "version": "1"}
        status, _ = await guarded.ask(
            "DELETE", API + "model-versions/delete", secrets["bob"], json=body
        )
        assert status == 403


async def test_others_read_nothing_if_configured(tmp_path: Path) -> None:
    settings = {"ASGARD_ACCESS__OTHERS_READ": "false"}
    async with guarded_mlflow(tmp_path / "data", settings) as guarded:
        anns = await owned_things.make(guarded, "ann", "secret")
        for name in ("bob", "reader"):
            for path, params in (
                ("runs/get", {"run_id": anns.run_id}),
                ("experiments/get", {"experiment_id": anns.experiment_id}),
                ("registered-models/get", {"name": anns.model_name}),
                (f"logged-models/{anns.model_id}", {}),
                ("artifacts/list", {"run_id": anns.run_id}),
            ):
                status, text = await guarded.ask(
                    "GET", API + path, guarded.secrets[name], params=params
                )
                assert status == 403, (path, text)
            status, _ = await guarded.ask(
                "GET",
                "/api/2.0/mlflow-artifacts/artifacts/" + anns.artifact_path,
                guarded.secrets[name],
            )
            assert status == 403
            body = {"experiment_ids": [anns.experiment_id], "max_results": 10}
            status, text = await guarded.ask(
                "POST", API + "runs/search", guarded.secrets[name], json=body
            )
            assert anns.run_id not in text, text
        status, text = await guarded.ask(
            "GET", API + "runs/get", guarded.secrets["ann"], params={"run_id": anns.run_id}
        )
        assert json.loads(text)["run"]["info"]["run_id"] == anns.run_id
        await owned_things.make(guarded, "bob", "own")
        for source in (
            f"mlflow-artifacts:/{anns.artifact_path}",
            f"mlflow-artifacts:/{anns.experiment_id}",
            f"runs:/{anns.run_id}/notes.txt",
            f"models:/{anns.model_id}",
            f"models:/{anns.model_name}/1",
        ):
            status, text = await guarded.ask(
                "POST",
                API + "model-versions/create",
                guarded.secrets["bob"],
                json={"name": "own-model", "source": source},
            )
            assert status == 403, (source, text)
