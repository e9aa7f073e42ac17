"""A service with an external MLflow that requires a password and stores artifacts in S3."""

from pathlib import Path

import pytest

from tests.support.mlflow_user import fresh
from tests.support.model_job import LOGS_A_MODEL, all_output, processes_with, warned
from tests.support.protected_mlflow import BUCKET, PASSWORD, PREFIX, ProtectedMlflow
from tests.support.service import QUICK_TO_WARM, running_service


async def test_a_job_without_s3_credentials_stores_its_model(
    tmp_path: Path, protected_mlflow: ProtectedMlflow
) -> None:
    go, model_name = tmp_path / "go", fresh("external")
    settings = protected_mlflow.settings(**QUICK_TO_WARM, ASGARD_TRACKING__SETTLE_SECONDS="60")
    async with running_service(tmp_path / "data", settings) as service:
        await service.mlflow_uri()
        job_id = await service.submit(
            LOGS_A_MODEL.format(go=str(go)),
            experiment_name=fresh("external"),
            model_name=model_name,
        )
        await service.says(job_id, "variables:")
        in_arguments, in_environment = processes_with(PASSWORD)
        go.touch()
        job = await service.finished(job_id, within=240)
        output = await all_output(service, job_id)
        _, model = await service.get(f"/mlops/models/{model_name}")

    assert job["status"] == "completed", job["logs"]
    assert "loaded, it says 1" in job["logs"]
    variables = job["logs"].partition("variables:")[2].splitlines()[0].split()
    # the job logs its own runs, and MLflow proxies artifacts, so it needs no credentials for S3
    assert {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} < set(variables)
    assert [name for name in variables if "AWS" in name or "S3" in name] == []

    assert job["model_version"] == "1"
    (version,) = model["latest_versions"]
    assert version["run_id"] == job["run_id"]
    registered = await protected_mlflow.as_admin(
        "GET", "model-versions/get", name=model_name, version="1"
    )
    model_id = registered["model_version"]["source"].removeprefix("models:/")
    files = protected_mlflow.s3.files(BUCKET, PREFIX)
    (description,) = [key for key in files if key.endswith(f"{model_id}/artifacts/MLmodel")]
    assert model_id.encode() in protected_mlflow.s3.read(BUCKET, description)
    assert any(files[key] for key in files if "model.skops" in key)

    assert PASSWORD not in output
    assert in_arguments == []
    # the service and the script, but not keeper and shim
    assert len(in_environment) == 2, in_environment
    assert not any("shim" in line for line in in_environment)


@pytest.mark.parametrize(
    ("credentials", "hint"),
    [
        ({"ASGARD_MLFLOW__PASSWORD": "mistyped-password"}, "does not accept Asgard's credentials"),
        ({"ASGARD_MLFLOW__USERNAME": "", "ASGARD_MLFLOW__PASSWORD": ""}, "requires credentials"),
    ],
    ids=["wrong password", "no password"],
)
async def test_rejected_credentials_mean_unreachable_with_reason(
    tmp_path: Path, protected_mlflow: ProtectedMlflow, credentials: dict[str, str], hint: str
) -> None:
    async with running_service(
        tmp_path / "data", protected_mlflow.settings(**QUICK_TO_WARM, **credentials)
    ) as service:
        warning = await warned(service, "MLflow")
        _, status = await service.get("/mlops/status")
        output = await all_output(service)
    assert (status["mlflow_api"], status["mlflow_available"]) == ("unreachable", False)
    assert status["mlflow_tracking_uri"] == protected_mlflow.uri
    assert hint in warning
    assert "[mlflow] username and password" in warning
    assert hint in service.log.read_text()
    assert "mistyped" not in output
