"""Concurrent jobs in one experiment have separate runs."""

import asyncio

from tests.support.mlflow_api import MlflowApi, named
from tests.support.service import ServiceApi
from tests.system.test_report_checks import fresh

LOGS_ITS_NUMBER = """
import os, time
import mlflow

with mlflow.start_run():
    mlflow.log_param("number", os.environ["NUMBER"])
    # both runs are open at the same time: each job waits until the other has begun
    experiment = mlflow.get_experiment_by_name(os.environ["EXPERIMENT"]).experiment_id
    deadline = time.monotonic() + 60
    while len(mlflow.search_runs([experiment], output_format="list")) < 2:
        assert time.monotonic() < deadline, "the other job did not begin"
        time.sleep(0.1)
"""


async def test_concurrent_jobs_report_their_own_runs(
    asgard_service: ServiceApi, mlflow_api: MlflowApi
) -> None:
    experiment = fresh("shared")
    jobs = [
        await asgard_service.submit(
            LOGS_ITS_NUMBER,
            experiment_name=experiment,
            environment_vars={"NUMBER": str(number), "EXPERIMENT": experiment},
            tags={"number": str(number)},
        )
        for number in range(2)
    ]
    for number, job_id in enumerate(jobs):
        job = await asgard_service.finished(job_id)
        assert job["status"] == "completed", job
        run = await mlflow_api.run(job["run_id"])
        assert named(run["data"]["params"]) == {"number": str(number)}
        assert named(run["data"]["tags"])["number"] == str(number)
        assert [run["run_id"] for run in job["runs"]] == [job["run_id"]]


async def test_ten_concurrent_jobs_may_create_one_experiment(
    asgard_service: ServiceApi, mlflow_api: MlflowApi
) -> None:
    experiment = fresh("new")
    script = "import mlflow\nwith mlflow.start_run(): mlflow.log_metric('m', 1)\n"
    jobs = await asyncio.gather(
        *(asgard_service.submit(script, experiment_name=experiment) for _ in range(10))
    )
    ended = [await asgard_service.finished(job_id, within=240) for job_id in jobs]
    assert [(job["status"], job["error"]) for job in ended] == [("completed", None)] * 10
    assert len({job["run_id"] for job in ended} - {None}) == 10
    found = await mlflow_api.get("experiments/get-by-name", experiment_name=experiment)
    runs = await mlflow_api.post(
        "runs/search", experiment_ids=[found["experiment"]["experiment_id"]], max_results=100
    )
    assert {run["info"]["run_id"] for run in runs["runs"]} == {job["run_id"] for job in ended}


async def test_a_common_failure_gets_advice(asgard_service: ServiceApi) -> None:
    script = """
import mlflow
from sklearn.ensemble import RandomForestClassifier

model = RandomForestClassifier(n_estimators=3).fit([[1.0], [2.0]], [0, 1])
with mlflow.start_run():
    mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
"""
    job_id = await asgard_service.submit(script, experiment_name=fresh("skops"))
    job = await asgard_service.finished(job_id)
    assert job["reason"] == "exit_code"
    first, last = job["error"].split("\n")
    assert "Pass skops_trusted_types=['sklearn.tree._tree.Tree'] to log_model" in first
    assert last.startswith("mlflow.exceptions.MlflowException: The saved sklearn model references")
