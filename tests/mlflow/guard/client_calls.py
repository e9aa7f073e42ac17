"""A training that uses most of MLflow's client library."""

import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.genai.datasets import create_dataset, get_dataset
from sklearn.linear_model import LinearRegression

FILES = Path(tempfile.mkdtemp())
X, Y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 6.0])
client = MlflowClient()


def runs() -> None:
    with mlflow.start_run(run_name="outer") as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"a": 1, "b": 2})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metrics({"f1": 0.9, "auc": 0.8})
        mlflow.set_tags({"team": "docs"})
        mlflow.log_text("hello", "notes/hello.txt")
        mlflow.log_dict({"a": 1}, "config.json")
        mlflow.log_table({"x": [1, 2]}, "table.json")
        mlflow.log_input(from_pandas(pd.DataFrame({"x": [1.0]})), context="train")
        with mlflow.start_run(nested=True, run_name="inner"):
            mlflow.log_metric("inner", 1)
    (FILES / "data.txt").write_text("data")
    client.log_artifact(run.info.run_id, str(FILES / "data.txt"))
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/hello.txt") == "hello"
    names = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert {"notes", "config.json", "table.json", "data.txt"} <= names, names
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("resumed", 1)
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 1
    assert len(mlflow.search_runs(search_all_experiments=True)) >= 2
    mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes")
    client.delete_tag(run.info.run_id, "team")


def runs_by_client() -> None:
    experiment = client.create_experiment("calls-by-client", tags={"purpose": "test"})
    client.set_experiment_tag(experiment, "more", "yes")
    client.rename_experiment(experiment, "calls-renamed")
    run = client.create_run(experiment)
    client.log_metric(run.info.run_id, "m", 1)
    client.log_batch(run.info.run_id, params=[mlflow.entities.Param("p", "1")])
    client.set_terminated(run.info.run_id)
    client.delete_run(run.info.run_id)
    client.restore_run(run.info.run_id)
    client.delete_experiment(experiment)
    client.restore_experiment(experiment)
    client.delete_experiment(experiment)


def models() -> None:
    mlflow.sklearn.autolog()
    fitted = LinearRegression().fit(X, Y)
    mlflow.sklearn.autolog(disable=True)
    info = mlflow.sklearn.log_model(fitted, name="line", serialization_format="cloudpickle")
    mlflow.end_run()
    logged = mlflow.get_logged_model(info.model_id)
    mlflow.set_logged_model_tags(logged.model_id, {"quality": "good"})
    mlflow.delete_logged_model_tag(logged.model_id, "quality")
    assert mlflow.search_logged_models(filter_string="name = 'line'", output_format="list")
    version = mlflow.register_model(f"models:/{info.model_id}", "line-by-script")
    client.set_registered_model_alias("line-by-script", "best", version.version)
    client.set_model_version_tag("line-by-script", version.version, "a", "b")
    client.update_model_version("line-by-script", version.version, description="a line")
    client.set_registered_model_tag("line-by-script", "a", "b")
    client.update_registered_model("line-by-script", description="lines")
    loaded = mlflow.pyfunc.load_model("models:/line-by-script@best")
    assert abs(loaded.predict(X)[0] - 2.0) < 1e-6
    copied = client.copy_model_version("models:/line-by-script/1", "line-copied")
    assert copied.version == "1"
    client.rename_registered_model("line-copied", "line-moved")
    client.delete_model_version("line-moved", "1")
    client.delete_registered_model("line-moved")
    assert client.search_model_versions("name = 'line-by-script'")
    external = mlflow.initialize_logged_model(name="external")
    mlflow.finalize_logged_model(external.model_id, "READY")
    mlflow.log_model_params({"a": "1"}, external.model_id)
    client.delete_logged_model(external.model_id)


def traces() -> None:
    @mlflow.trace
    def double(x: int) -> int:
        return 2 * x

    assert double(4) == 8
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id() or ""
    trace = client.get_trace(trace_id)
    assert trace.data.spans, trace
    client.set_trace_tag(trace_id, "key", "value")
    client.delete_trace_tag(trace_id, "key")
    mlflow.log_feedback(trace_id=trace_id, name="good", value=True)
    mlflow.log_expectation(trace_id=trace_id, name="answer", value=8)
    assert mlflow.search_traces(return_type="list")
    client.delete_traces(trace.info.experiment_id, trace_ids=[trace_id])


def datasets() -> None:
    experiment = client.create_experiment("calls-datasets")
    dataset = create_dataset(name="questions", experiment_id=[experiment])
    dataset.merge_records([{"inputs": {"q": "?"}, "expectations": {"a": "!"}}])
    assert len(get_dataset(dataset_id=dataset.dataset_id).to_df()) == 1


def prompts() -> None:
    mlflow.genai.register_prompt(name="greeting", template="Hello {{name}}!")
    mlflow.genai.register_prompt(name="greeting", template="Hi {{name}}!")
    mlflow.genai.set_prompt_alias("greeting", alias="latest-one", version=2)
    prompt = mlflow.genai.load_prompt("prompts:/greeting@latest-one")
    assert prompt.format(name="Ann") == "Hi Ann!"
    assert mlflow.genai.search_prompts("name = 'greeting'")


for calls in (runs, runs_by_client, models, traces, datasets, prompts):
    calls()
