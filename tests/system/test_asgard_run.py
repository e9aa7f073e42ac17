"""The summary of `asgard run` with a real MLflow: run, metrics and model."""

import asyncio
import json
from pathlib import Path

from asgard_async.client import AsyncAsgardClient
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
    shown = await asyncio.to_thread(asgard, "show", job["job_id"], ASGARD_URL=url)
    for metric in run["data"]["metrics"]:
        assert f"{metric['key']} = {metric['value']:.6g}" in shown.stdout
    assert page in shown.stdout
    async with AsyncAsgardClient(url) as client:
        found = await client.get(job["job_id"])
        assert found.metrics == {
            metric["key"]: metric["value"] for metric in run["data"]["metrics"]
        }
        assert found.run_url is not None
        assert found.run_url.endswith(page)
        versions = [version.version async for version in client.model_versions(model)]
        assert versions == ["1"]
    models = await asyncio.to_thread(asgard, "models", model, ASGARD_URL=url)
    assert models.stdout.splitlines()[1].split()[:2] == [model, "1"]
    document = json.loads(
        (await asyncio.to_thread(asgard, "models", model, "--json", ASGARD_URL=url)).stdout
    )
    assert document["versions"] == document["latest_versions"]
    (version,) = document["versions"]
    assert version["run_id"] == job["run_id"]
