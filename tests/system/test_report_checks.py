"""The 13 checks from the report of the previous service, against a running service."""

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.mlflow_api import MlflowApi, named
from tests.support.service import ServiceApi

RANDOM_FOREST = Path(__file__).parents[2] / "examples" / "trainings" / "random_forest.py"
TAGS = {"team": "quality", "dataset": "synthetic-2000x30", "source": "data/raw/train.csv"}


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


# --- MLflow's own API, at the address in /mlops/status ----------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def experiment_id(mlflow_api: MlflowApi) -> str:
    created = await mlflow_api.post("experiments/create", name=fresh("experiment"))
    assert isinstance(created["experiment_id"], str)
    return created["experiment_id"]


@pytest_asyncio.fixture(loop_scope="session")
async def run_id(mlflow_api: MlflowApi, experiment_id: str) -> str:
    created = await mlflow_api.post(
        "runs/create", experiment_id=experiment_id, start_time=int(time.time() * 1000)
    )
    assert isinstance(created["run"]["info"]["run_id"], str)
    return created["run"]["info"]["run_id"]


async def test_1_mlflow_is_healthy(mlflow_api: MlflowApi) -> None:
    assert await mlflow_api.health() == "OK"


async def test_2_experiments_are_searched(mlflow_api: MlflowApi) -> None:
    found = await mlflow_api.post("experiments/search", max_results=100)
    assert "Default" in {experiment["name"] for experiment in found["experiments"]}


async def test_3_an_experiment_is_created(mlflow_api: MlflowApi, experiment_id: str) -> None:
    found = await mlflow_api.get("experiments/get", experiment_id=experiment_id)
    assert found["experiment"]["lifecycle_stage"] == "active"


async def test_4_a_run_is_created(mlflow_api: MlflowApi, experiment_id: str, run_id: str) -> None:
    info = (await mlflow_api.run(run_id))["info"]
    assert (info["experiment_id"], info["status"]) == (experiment_id, "RUNNING")


async def test_5_a_metric_is_logged(mlflow_api: MlflowApi, run_id: str) -> None:
    await mlflow_api.post(
        "runs/log-metric", run_id=run_id, key="accuracy", value=0.95, timestamp=1, step=1
    )
    assert named((await mlflow_api.run(run_id))["data"]["metrics"]) == {"accuracy": 0.95}


async def test_6_a_parameter_is_logged(mlflow_api: MlflowApi, run_id: str) -> None:
    await mlflow_api.post("runs/log-parameter", run_id=run_id, key="depth", value="12")
    assert named((await mlflow_api.run(run_id))["data"]["params"]) == {"depth": "12"}


async def test_7_a_run_is_updated(mlflow_api: MlflowApi, run_id: str) -> None:
    updated = await mlflow_api.post("runs/update", run_id=run_id, status="FINISHED", end_time=2)
    assert updated["run_info"]["status"] == "FINISHED"


async def test_8_a_run_is_read(mlflow_api: MlflowApi, run_id: str) -> None:
    run = await mlflow_api.run(run_id)
    assert run["info"]["run_id"] == run_id
    assert run["info"]["lifecycle_stage"] == "active"


async def test_9_registered_models_are_searched(mlflow_api: MlflowApi) -> None:
    name = fresh("model")
    await mlflow_api.post("registered-models/create", name=name)
    found = await mlflow_api.get("registered-models/search", filter=f"name = '{name}'")
    assert [model["name"] for model in found["registered_models"]] == [name]


# --- the workflow: one training, checked in four ways -----------------------------------------


@dataclass
class Training:
    """The responses to a client about one training."""

    experiment_name: str
    model_name: str
    accepted: dict[str, Any]
    job: dict[str, Any]
    statuses: list[str] = field(default_factory=list)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def training(asgard_service: ServiceApi) -> AsyncIterator[Training]:
    """The random forest, uploaded and followed until it ends."""
    experiment, model = fresh("report"), fresh("forest")
    status, accepted = await asgard_service.upload(
        RANDOM_FOREST.read_bytes(),
        script_name=RANDOM_FOREST.name,
        experiment_name=experiment,
        model_name=model,
        requirements=["scikit-learn", "numpy"],
        tags=TAGS,
    )
    assert status == 202, accepted
    statuses = [accepted["status"]]

    async def ended() -> dict[str, Any] | None:
        job = await asgard_service.job(accepted["job_id"])
        if job["status"] != statuses[-1]:
            statuses.append(job["status"])
        return job if job["status"] in {"completed", "failed"} else None

    job = await eventually(ended, within=180, what="the training has ended")
    yield Training(experiment, model, accepted, job, statuses)


async def test_10_the_service_is_connected_to_mlflow(
    asgard_service: ServiceApi, mlflow_api: MlflowApi
) -> None:
    status, answer = await asgard_service.get("/mlops/status")
    assert status == 200
    assert answer["asgard_api"] == "accessible"
    assert answer["mlflow_api"] == "accessible"
    assert answer["mlflow_available"] is True
    assert answer["mlflow_tracking_uri"] == mlflow_api.uri
    assert answer["active_experiments"] >= 1
    assert answer["registered_models"] >= 0


async def test_11_a_random_forest_is_uploaded_and_trained(training: Training) -> None:
    assert training.job["error"] is None
    assert training.statuses == ["queued", "running", "completed"]
    assert training.job["run_id"]
    assert training.job["reason"] == "succeeded"
    assert [run["run_id"] for run in training.job["runs"]] == [training.job["run_id"]]
    assert "Fitted 150 trees" in training.job["logs"]
    assert training.job["job_id"] == training.accepted["job_id"]


async def test_12_the_run_has_its_metrics_params_and_tags(
    mlflow_api: MlflowApi, training: Training
) -> None:
    run = await mlflow_api.run(training.job["run_id"])
    experiment = await mlflow_api.get(
        "experiments/get-by-name", experiment_name=training.experiment_name
    )
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["experiment_id"] == experiment["experiment"]["experiment_id"]
    metrics = named(run["data"]["metrics"])
    assert set(metrics) == {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "log_loss",
        "train_accuracy",
        "fit_seconds",
    }
    assert 0.8 < metrics["accuracy"] <= 1
    assert named(run["data"]["params"]) == {
        "n_estimators": "150",
        "max_depth": "12",
        "min_samples_leaf": "2",
        "random_state": "42",
        "n_samples": "2000",
        "n_features": "30",
        "test_size": "0.25",
        "criterion": "gini",
    }
    tags = named(run["data"]["tags"])
    assert {key: tags.get(key) for key in TAGS} == TAGS
    assert tags["asgard.job_id"] == training.job["job_id"]


async def test_13_the_model_is_registered_as_version_1(
    asgard_service: ServiceApi, training: Training
) -> None:
    status, models = await asgard_service.get("/mlops/models")
    assert status == 200
    (model,) = (model for model in models if model["name"] == training.model_name)
    (version,) = model["latest_versions"]
    assert (version["version"], version["run_id"]) == ("1", training.job["run_id"])
    assert training.job["model_version"] == "1"
    status, same = await asgard_service.get(f"/mlops/models/{training.model_name}")
    assert (status, same) == (200, model)
