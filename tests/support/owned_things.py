"""Everything in MLflow that an owner's job can make, and a record of it to compare."""

import dataclasses
import hashlib
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.guarded_mlflow import GuardedMlflow

API, API_3 = "/api/2.0/mlflow/", "/api/3.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
ID_COLUMNS = {
    *("run_uuid", "model_id", "request_id", "trace_id", "dataset_id", "experiment_id", "name"),
    *("destination_id", "resource_pattern"),
}
"""Columns that say what a row belongs to; `name` only in the tables of the registry."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Things:
    """The ids of one of each kind, in the terms of MLflow's API."""

    run_id: str
    model_id: str
    trace_id: str
    experiment_id: str
    model_name: str
    prompt_name: str
    dataset_id: str
    owns_experiment: bool

    @property
    def ids(self) -> set[str]:
        """The ids by which their rows are found."""
        ids = {self.run_id, self.model_id, self.trace_id, self.model_name, self.prompt_name}
        return ids | {self.dataset_id} | ({self.experiment_id} if self.owns_experiment else set())

    def fields(self) -> dict[str, Any]:
        """Return values for the fields of requests, by name."""
        return {
            "run_id": self.run_id,
            "run_uuid": self.run_id,
            "source_run_id": self.run_id,
            "model_id": self.model_id,
            "experiment_id": self.experiment_id,
            "trace_id": self.trace_id,
            "request_id": self.trace_id,
            "name": self.model_name,
            "dataset_id": self.dataset_id,
            "version": "1",
            "alias": "best",
            "key": "team",
            "tag_key": "team",
            "new_name": "stolen",
            "artifact_path": self.artifact_path,
            "path": self.artifact_path,
            "source": f"runs:/{self.run_id}/model",
            "source_type": 1,
            "username": "bob",
            "resource_type": "experiment",
            "resource_id": self.experiment_id,
            "permission": "MANAGE",
            "artifact_location": "",
            "max_timestamp_millis": 1 << 50,
            "prompt_id": self.prompt_name,
        }

    @property
    def artifact_path(self) -> str:
        return f"{self.experiment_id}/{self.run_id}/artifacts/notes.txt"


async def make(
    mlflow: GuardedMlflow, owner: str, prefix: str, *, experiment_id: str = ""
) -> Things:
    """Make one of each kind with the token of an attempt, in a new experiment or a given one."""
    token = mlflow.attempt(owner)
    api = mlflow.api(token)

    async def three(path: str, **body: Any) -> Any:
        status, text = await mlflow.ask("POST", API_3 + path, token, json=body)
        assert status == 200, text
        return json.loads(text)

    experiment = (
        experiment_id or (await api.post("experiments/create", name=prefix))["experiment_id"]
    )
    run = (await api.post("runs/create", experiment_id=experiment))["run"]["info"]["run_id"]
    await api.post("runs/log-metric", run_id=run, key="loss", value=1, timestamp=1)
    await api.post("runs/log-parameter", run_id=run, key="depth", value="3")
    await api.post("runs/set-tag", run_id=run, key="team", value="docs")
    model = (
        await api.post("logged-models", experiment_id=experiment, name="m", source_run_id=run)
    )["model"]["info"]["model_id"]
    for path in (f"{run}/artifacts/notes.txt", f"models/{model}/artifacts/MLmodel"):
        status, text = await mlflow.ask(
            "PUT", f"{ARTIFACTS}{experiment}/{path}", token, data=io.BytesIO(b"original")
        )
        assert status == 200, text
    await api.post("registered-models/create", name=f"{prefix}-model")
    version = {"name": f"{prefix}-model", "source": f"models:/{model}", "model_id": model}
    await api.post("model-versions/create", **version, run_id=run)
    alias = {"name": f"{prefix}-model", "alias": "best", "version": "1"}
    await api.post("registered-models/alias", **alias)
    is_prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    await api.post("registered-models/create", name=f"{prefix}-prompt", tags=is_prompt)
    trace = hashlib.sha256(prefix.encode()).hexdigest()[:32]
    status, text = await export_span(mlflow, token, trace, experiment)
    assert status == 200, text
    status, text = await mlflow.ask(
        "PATCH", f"{API_3}traces/tr-{trace}/tags", token, json={"key": "team", "value": "docs"}
    )
    assert status == 200, text
    datasets = experiment
    if experiment_id:  # only in an experiment of one's own
        datasets = (await api.post("experiments/create", name=prefix))["experiment_id"]
    dataset = await three("datasets/create", name=prefix, experiment_ids=[datasets])
    return Things(
        run_id=run,
        model_id=model,
        trace_id=f"tr-{trace}",
        experiment_id=experiment,
        model_name=f"{prefix}-model",
        prompt_name=f"{prefix}-prompt",
        dataset_id=dataset["dataset"]["dataset_id"],
        owns_experiment=not experiment_id,
    )


async def export_span(
    mlflow: GuardedMlflow, token: str | None, trace: str, experiment: str, **headers: str
) -> tuple[int, str]:
    """Send a span of a trace by OpenTelemetry's protocol."""
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = bytes.fromhex(trace), b"12345678"
    span.name, span.start_time_unix_nano, span.end_time_unix_nano = "span", 10**9, 2 * 10**9
    return await mlflow.ask(
        "POST",
        "/v1/traces",
        token,
        data=message.SerializeToString(),
        headers={**PROTOBUF, "x-mlflow-experiment-id": experiment, **headers},
    )


def record(store: Path, things: Things) -> dict[str, Any]:
    """Return all rows and files that belong to these things."""
    rows = {}
    for file in ("mlflow.db", "auth.db"):
        with closing(sqlite3.connect(f"file:{store / file}?mode=ro", uri=True)) as database:
            for table, columns in _tables(database).items():
                rows[f"{file}:{table}"] = _rows_of(database, table, columns, things.ids)
    parts = (things.run_id, things.model_id, things.trace_id)
    files = {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted((store / "artifacts").rglob("*"))
        if path.is_file() and any(part in path.parts for part in parts)
    }
    return {**{table: found for table, found in rows.items() if found}, "files": files}


def _tables(database: sqlite3.Connection) -> dict[str, list[str]]:
    names = [
        name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
    ]
    found = {}
    for name in names:
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
        if name in {"entity_associations", "trace_metric_rollups"}:
            continue  # links from things of others
        ids = (
            ID_COLUMNS
            if name.startswith(("registered_model", "model_version"))
            else (ID_COLUMNS - {"name"})
        )
        # a model of another owner may have been made from the run, and what is in an experiment
        # belongs to its maker
        used = [column for column in columns if column in ids]
        if name not in {"experiments", "experiment_tags"}:
            used = [column for column in used if column != "experiment_id"]
        if used:
            found[name] = used
    return found


def _rows_of(
    database: sqlite3.Connection, table: str, columns: list[str], ids: set[str]
) -> list[str]:
    marks = ",".join("?" * len(ids))
    first = columns[0]
    statement = f"SELECT * FROM {table} WHERE CAST({first} AS TEXT) IN ({marks})"  # noqa: S608
    return sorted(map(repr, database.execute(statement, sorted(ids)).fetchall()))
