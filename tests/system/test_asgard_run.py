"""The summary of `asgard run` with a real MLflow: run, metrics and model."""

import asyncio
import json
from pathlib import Path

from tests.support.asgard_command import asgard
from tests.support.mlflow_api import MlflowApi
from tests.support.service import Service
from tests.system.test_report_checks import fresh

FOREST = Path(__file__).parent.parent.parent / "examples" / "trainings" / "random_forest.py"


async def test_the_summary_shows_run_metrics_and_model(
    asgard_service: Service, mlflow_api: MlflowApi
) -> None:
    experiment, model = fresh("cli"), fresh("forest")
    names = ("--experiment", experiment, "--model", model)
    url = asgard_service.url
    done = await asyncio.to_thread(asgard, "run", FOREST, *names, ASGARD_URL=url)
    assert done.returncode == 0, done.stderr
    listed = await asyncio.to_thread(
        asgard, "jobs", "--experiment", experiment, "--json", ASGARD_URL=url
    )
    (job,) = json.loads(listed.stdout)
    run = await mlflow_api.run(job["run_id"])
    page = f"/#/experiments/{run['info']['experiment_id']}/runs/{job['run_id']}"
    assert page in done.stderr
    for metric in run["data"]["metrics"]:
        assert f"{metric['key']} = {metric['value']:.6g}" in done.stderr
    assert f"{model}, version 1" in done.stderr
    models = await asyncio.to_thread(asgard, "models", model, ASGARD_URL=url)
    assert models.stdout.splitlines()[1].split()[:2] == [model, "1"]
    (version,) = json.loads(
        (await asyncio.to_thread(asgard, "models", model, "--json", ASGARD_URL=url)).stdout
    )["latest_versions"]
    assert version["run_id"] == job["run_id"]
