"""Trainings in built environments, with the shared service of the end-to-end tests.

Each package is fetched from the registry once; environments share uv's cache.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.support.mlflow_api import MlflowApi, named
from tests.support.service import Service
from tests.system.test_report_checks import fresh

TRAININGS = Path(__file__).parents[2] / "examples" / "trainings"
BUILD_SECONDS = 600


async def built(service: Service, job_id: str) -> dict[str, Any]:
    """Return the finished job; skip the test if certificates have expired on the machine's date."""
    job = await service.finished(job_id, within=BUILD_SECONDS)
    if "certificate expired: verification time" in job["logs"]:
        pytest.skip("on this machine's date, the package registry's certificate has expired")
    return job


@pytest.mark.slow
@pytest.mark.parametrize(
    # with NVIDIA's libraries, xgboost takes ten times as long to install
    "package",
    ["lightgbm", pytest.param("xgboost", marks=pytest.mark.soak)],
)
async def test_an_example_runs_with_and_without_a_cache(
    asgard_service: Service, mlflow_api: MlflowApi, package: str
) -> None:
    model_name = fresh(package)
    job_id = await asgard_service.submit(
        (TRAININGS / f"{package}_classifier.py").read_text(),
        experiment_name=model_name,
        model_name=model_name,
        requirements=[package],
    )
    first = await built(asgard_service, job_id)
    assert (first["status"], first["error"]) == ("completed", None)
    assert f"\n + {package}==" in first["logs"]
    assert f"\n{package} " in "\n" + first["logs"]
    run = await mlflow_api.run(first["run_id"])
    assert named(run["data"]["metrics"])["accuracy"] > 0.8
    status, model = await asgard_service.get(f"/mlops/models/{model_name}")
    assert status == 200
    assert model["latest_versions"][0]["run_id"] == first["run_id"]

    job_id = await asgard_service.submit(f"import {package}", requirements=[package])
    again = await built(asgard_service, job_id)
    assert (again["status"], again["error"]) == ("completed", None)
    assert "Resolved " not in again["logs"]
    for job in (first, again):
        assert "environment" in job["timings"]


@pytest.mark.slow
async def test_a_pinned_mlflow_version_is_installed(
    asgard_service: Service, mlflow_api: MlflowApi
) -> None:
    script = """
import mlflow

print("it is", mlflow.__version__)
with mlflow.start_run():
    mlflow.log_param("version", mlflow.__version__)
"""
    own_version = version("mlflow")
    job_id = await asgard_service.submit(
        script, experiment_name=fresh("other"), requirements=[f"mlflow<{own_version}"]
    )
    job = await built(asgard_service, job_id)
    assert (job["status"], job["error"]) == ("completed", None), job
    (installed,) = [
        line.split()[-1] for line in job["logs"].splitlines() if line.startswith("it is")
    ]
    assert installed != own_version
    assert f"\n + mlflow=={installed}\n" in job["logs"]
    run = await mlflow_api.run(job["run_id"])
    assert named(run["data"]["params"]) == {"version": installed}
