"""A real script with a job's variables: fluent API, nested run, logged model, registry."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asgard_async.domain.status import Reason
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.experiments import Experiments
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.job_variables import job_environment
from asgard_async.mlflow.reconciler import RunReconciler
from asgard_async.mlflow.runs import EndedJob
from tests.support.mlflow_servers import MlflowServer
from tests.support.mlflow_user import MlflowUser, fresh, fresh_job_id

SERVER = "server-1"
SCRIPT_SECONDS = 240

SCRIPT = """
import os, sys
import mlflow, mlflow.sklearn
from sklearn.linear_model import LinearRegression

own_model = sys.argv[1]

def log_model(name, **more):
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    mlflow.sklearn.log_model(
        model, name=name, serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"], **more)

mlflow.set_experiment("elsewhere of " + own_model)
with mlflow.start_run(run_name="by itself"):
    log_model("registered", registered_model_name=own_model)
mlflow.set_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
with mlflow.start_run(run_name="outer") as outer:
    with mlflow.start_run(run_name="inner", nested=True):
        mlflow.log_metric("m", 1.0)
    log_model("first")
    log_model("last")
    print(outer.info.run_id, flush=True)
    if "--die" in sys.argv:
        os._exit(9)
"""


@pytest.mark.mlflow
async def test_runs_and_models_of_a_real_script_are_found(
    mlflow_server: MlflowServer, gateway: MlflowGateway, user: MlflowUser, tmp_path: Path
) -> None:
    experiment = fresh("real")
    experiment_id = await Experiments(gateway, wait_seconds=30).ensure_experiment(experiment)
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    completed_id, killed_id = fresh_job_id(), fresh_job_id()
    model_name, started_at = fresh("model"), datetime.now(UTC)
    own_name = fresh("own")

    async def run_script(job_id: str, *arguments: str) -> tuple[int, str]:
        marks = job_environment(
            MlflowAddress.parse(mlflow_server.uri),
            experiment_name=experiment,
            job_id=job_id,
            attempt=1,
            server_id=SERVER,
            tags={"team": "é"},
            own={},
        )
        plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            *arguments,
            env=plain | marks,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(SCRIPT_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise
        return await process.wait(), output.decode()

    (code, output), (killed_code, killed_output) = await asyncio.gather(
        run_script(completed_id, own_name), run_script(killed_id, fresh("own"), "--die")
    )
    assert (code, killed_code) == (0, 9), output + killed_output

    completed, killed = (
        EndedJob(
            job_id=job_id,
            attempt=1,
            reason=reason,
            started_at=started_at,
            ended_at=datetime.now(UTC),
            model_name=model_name,
        )
        for job_id, reason in ((completed_id, Reason.SUCCEEDED), (killed_id, Reason.SIGNAL))
    )
    reconciler = RunReconciler(gateway, server_id=SERVER)
    reconciled = await reconciler.reconcile([completed, killed])
    for job, printed, status in (
        (completed, output, "FINISHED"),
        (killed, killed_output, "KILLED"),
    ):
        tracking = reconciled[job.job_id].tracking
        outer = next(line for line in printed.splitlines() if len(line) == 32)
        assert tracking.run_id == outer
        runs = {run.name: run for run in tracking.runs}
        assert runs.keys() == {"by itself", "outer", "inner"}
        assert runs["inner"].parent_run_id == outer
        assert runs["outer"].experiment_id == runs["inner"].experiment_id == experiment_id
        assert runs["by itself"].experiment_id != experiment_id
        assert (runs["outer"].status, runs["inner"].status) == (status, "FINISHED")
        assert (await gateway.get_run(outer)).selected_tags({"team"}) == {"team": "é"}
        assert reconciled[job.job_id].problem is None

    assert reconciled[killed_id].tracking.model_version is None
    assert reconciled[completed_id].tracking.model_version == "1"
    [version] = await user.versions(model_name)
    model = await user.call("GET", f"logged-models/{version['source'].removeprefix('models:/')}")
    assert model["model"]["info"]["name"] == "last"
    [own] = await user.versions(own_name)
    by_itself = [run for run in reconciled[completed_id].tracking.runs if run.name == "by itself"]
    assert own["run_id"] == by_itself[0].run_id
    assert await reconciler.reconcile([completed, killed]) == reconciled
