"""Public problem reports of comparable tools: every run and model of a job is found.

Each docstring names the report.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.mlflow_api import MlflowApi, named
from tests.support.mlflow_user import fresh
from tests.support.notebooks import code, notebook
from tests.support.service import Service

EXAMPLE = Path(__file__).parents[2] / "examples" / "trainings" / "notebook.ipynb"
LOG_MODEL = """
import os, threading, time
import mlflow
from mlflow import MlflowClient
from sklearn.linear_model import LinearRegression

def log_model(name="model", **more):
    return mlflow.sklearn.log_model(
        LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name=name,
        serialization_format="cloudpickle", pip_requirements=["scikit-learn"], **more)
"""
RESUMED = """
with mlflow.start_run(run_id=os.environ.get("RESUME")) as run:
    mlflow.log_metric("epoch", 2)
    if "LOG" in os.environ:
        log_model()
print("run=" + run.info.run_id)
"""


async def submit(service: Service, script: str, **fields: Any) -> str:
    names = {"experiment_name": fresh("field"), "model_name": fresh("field")}
    return await service.submit(LOG_MODEL + script, **names | fields)


async def run_script(service: Service, script: str, **fields: Any) -> dict[str, Any]:
    return await service.finished(await submit(service, script, **fields), within=240)


def final_detail(job: dict[str, Any]) -> str:
    detail: str = job["history"][-1]["detail"] or ""
    return detail


def printed(job: dict[str, Any], word: str) -> str:
    value: str = job["logs"].partition(f"{word}=")[2].split()[0]
    return value


async def test_the_model_of_the_first_of_two_runs_is_registered(asgard_service: Service) -> None:
    """huggingface/transformers#35074"""
    job = await run_script(
        asgard_service,
        """
with mlflow.start_run(run_name="fit") as fit:
    log_model()
with mlflow.start_run(run_name="score"):
    mlflow.log_metric("r2", 1.0)
print("fit=" + fit.info.run_id)
""",
    )
    assert (job["model_version"], job["run_id"]) == ("1", printed(job, "fit"))


async def test_a_model_without_a_run_is_registered(asgard_service: Service) -> None:
    """mlflow/mlflow#1209, #4256"""
    job = await run_script(asgard_service, "log_model()")
    assert (job["model_version"], job["run_id"], job["runs"]) == ("1", None, [])


async def test_a_version_without_a_run_is_not_created_twice(asgard_service: Service) -> None:
    name = fresh("by-script")
    script = f"log_model(registered_model_name={name!r})"
    job = await run_script(asgard_service, script, model_name=name)
    _, model = await asgard_service.get(f"/mlops/models/{name}")
    assert job["model_version"] == "1"
    assert [version["version"] for version in model["latest_versions"]] == ["1"]


@pytest.mark.parametrize("variable", ["RESUME", "MLFLOW_RUN_ID"])
async def test_a_resumed_run_is_the_jobs(
    asgard_service: Service, mlflow_api: MlflowApi, variable: str
) -> None:
    """mlflow/mlflow#4497, #3228; ludwig-ai/ludwig#1990"""
    experiment = fresh("resumed")
    earlier = await run_script(asgard_service, RESUMED, experiment_name=experiment)
    run_id = earlier["run_id"]
    job = await run_script(
        asgard_service,
        RESUMED,
        experiment_name=experiment,
        environment_vars={variable: run_id, "LOG": "1"},
    )
    assert (job["run_id"], job["model_version"]) == (run_id, "1"), job["logs"]
    assert [run["run_id"] for run in job["runs"]] == [run_id]
    tags = named((await mlflow_api.run(run_id))["data"]["tags"])
    assert tags["asgard.job_id"] == earlier["job_id"]


async def test_a_cancelled_job_ends_its_resumed_run(
    asgard_service: Service, mlflow_api: MlflowApi
) -> None:
    experiment = fresh("resumed")
    earlier = await run_script(asgard_service, RESUMED, experiment_name=experiment)
    job_id = await submit(
        asgard_service,
        """
mlflow.start_run(run_id=os.environ["RESUME"])
print("resumed", flush=True)
time.sleep(600)
""",
        experiment_name=experiment,
        environment_vars={"RESUME": earlier["run_id"]},
    )
    await asgard_service.says(job_id, "resumed")
    await asgard_service.post(f"/mlops/training/jobs/{job_id}/cancel")
    job = await asgard_service.finished(job_id)
    assert job["run_id"] == earlier["run_id"]
    assert (await mlflow_api.run(earlier["run_id"]))["info"]["status"] == "KILLED"


async def test_another_jobs_run_stays_open(asgard_service: Service, mlflow_api: MlflowApi) -> None:
    """A job may log to the run of a job that is still running, which it does not resume."""
    experiment = fresh("shared")
    other = await submit(
        asgard_service,
        "mlflow.start_run(); print('run=' + mlflow.active_run().info.run_id, flush=True)\n"
        "time.sleep(600)",
        experiment_name=experiment,
    )
    await asgard_service.says(other, "run=")
    shared = printed(await asgard_service.job(other), "run")
    job = await run_script(
        asgard_service,
        f"MlflowClient().log_metric({shared!r}, 'm', 1.0)\nwith mlflow.start_run(): pass",
        experiment_name=experiment,
    )
    own = [run["run_id"] for run in job["runs"] if run["run_id"] != shared]
    assert (len(job["runs"]), [job["run_id"]]) == (2, own)
    assert (await mlflow_api.run(shared))["info"]["status"] == "RUNNING"
    await asgard_service.post(f"/mlops/training/jobs/{other}/cancel")
    await asgard_service.finished(other)
    assert (await mlflow_api.run(shared))["info"]["status"] == "KILLED"


async def test_runs_of_the_client_are_found(asgard_service: Service) -> None:
    job = await run_script(
        asgard_service,
        """
client = MlflowClient()
experiment = client.get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"])
run = client.create_run(experiment.experiment_id, tags={"asgard.job_id": "forged"})
client.log_metric(run.info.run_id, "m", 1.0)
print("run=" + run.info.run_id)
""",
    )
    assert job["run_id"] == printed(job, "run")
    assert [run["status"] for run in job["runs"]] == ["FINISHED"]


async def test_a_stray_run_of_a_thread_is_not_the_jobs_run(asgard_service: Service) -> None:
    job = await run_script(
        asgard_service,
        """
with mlflow.start_run() as run:
    thread = threading.Thread(target=mlflow.start_run)
    thread.start()
    thread.join()
print("run=" + run.info.run_id)
""",
    )
    assert len(job["runs"]) == 2
    assert job["run_id"] == printed(job, "run")
    assert final_detail(job) == "No model was registered: the script logged none."


async def test_the_choice_among_models_is_explained(asgard_service: Service) -> None:
    job = await run_script(
        asgard_service,
        """
with mlflow.start_run() as run:
    log_model("first")
    log_model("second")
    with mlflow.start_run(nested=True):
        log_model("nested")
print("run=" + run.info.run_id)
""",
    )
    assert (job["run_id"], job["model_version"]) == (printed(job, "run"), "1")
    assert final_detail(job) == (
        "Of 3 models, the newest of a top-level run was registered:"
        f' "second" of run {job["run_id"]}.'
    )


async def test_a_run_open_at_a_crash_has_failed(
    asgard_service: Service, mlflow_api: MlflowApi
) -> None:
    """mlflow/mlflow#3932, Galileo-Galilei/kedro-mlflow#121"""
    job = await run_script(
        asgard_service,
        """
with mlflow.start_run(run_name="fine"):
    mlflow.log_metric("loss", 1.0)
mlflow.start_run(run_name="doomed")
mlflow.log_metric("loss", 1.5)
raise RuntimeError("loss became NaN")
""",
    )
    statuses = {run["name"]: run["status"] for run in job["runs"]}
    assert statuses == {"fine": "FINISHED", "doomed": "FAILED"}, job["logs"]
    assert (await mlflow_api.run(job["runs"][1]["run_id"]))["info"]["status"] == "FAILED"


async def test_a_run_ended_before_a_crash_is_finished(asgard_service: Service) -> None:
    job = await run_script(
        asgard_service,
        """
with mlflow.start_run():
    mlflow.log_metric("loss", 1.5)
raise RuntimeError("the plot failed")
""",
    )
    assert [run["status"] for run in job["runs"]] == ["FINISHED"]


async def test_a_script_with_its_own_server_is_explained(asgard_service: Service) -> None:
    """mlflow/mlflow#4176, #608"""
    own, none = await asyncio.gather(
        run_script(
            asgard_service,
            'mlflow.set_tracking_uri("sqlite:///mine.db")\nwith mlflow.start_run(): pass',
        ),
        run_script(asgard_service, "print('nothing')"),
    )
    assert (own["status"], own["run_id"]) == ("completed", None)
    assert final_detail(own) == (
        "No run was found: the script logged to sqlite:///mine.db, not to Asgard's MLflow."
    )
    assert final_detail(none) == "No run was found: none reached Asgard's MLflow."


async def test_the_example_notebook_registers_its_model(asgard_service: Service) -> None:
    job_id = await asgard_service.submit(
        EXAMPLE.read_bytes(),
        script_name="notebook.ipynb",
        experiment_name=fresh("field"),
        model_name=fresh("field"),
        params={"trees": 5},
    )
    job = await asgard_service.finished(job_id, within=240)
    assert (job["status"], job["model_version"]) == ("completed", "1"), job["logs"]
    assert "with 5 trees" in job["logs"]


async def test_an_executed_notebook_is_kept_with_the_run(
    asgard_service: Service, mlflow_api: MlflowApi
) -> None:
    """jupyter/notebook#5478"""
    content = notebook(
        code("lr = 1", "parameters"),
        "import mlflow\nmlflow.start_run()\nmlflow.log_metric('loss', 0.25)",
        "print('rate', lr)",
        "if lr < 0:\n    raise ValueError('negative')",
    )
    for lr, status in ((0.5, "FINISHED"), (-1, "FAILED")):
        job_id = await asgard_service.submit(
            content,
            script_name="churn.ipynb",
            experiment_name=fresh("field"),
            model_name=fresh("field"),
            params={"lr": lr},
        )
        job = await asgard_service.finished(job_id, within=240)
        assert f"rate {lr}" in job["logs"]
        assert [run["status"] for run in job["runs"]] == [status], job["logs"]
        listed = await mlflow_api.get("artifacts/list", run_id=job["run_id"])
        assert [file["path"] for file in listed["files"]] == ["churn.executed.ipynb"]
