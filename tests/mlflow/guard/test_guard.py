"""Authentication and ownership in the embedded MLflow."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from asgard_async.auth.token_file import TokenFile
from tests.support import owned_things
from tests.support.eventually import eventually
from tests.support.guarded_mlflow import GuardedMlflow
from tests.support.mlflow_api import named
from tests.support.mlflow_routes import path_for, routes
from tests.support.owned_things import ARTIFACTS, Things, export_span
from tests.support.service import submission

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]
API = "/api/2.0/mlflow/"
CREATE = API + "runs/create"
LOGS_A_MODEL = """
import mlflow
with mlflow.start_run() as run:
    mlflow.log_metric("m", 1)
model = mlflow.initialize_logged_model(name="m", source_run_id=run.info.run_id)
mlflow.finalize_logged_model(model.model_id, "READY")
"""


async def test_a_stranger_is_refused(guarded: GuardedMlflow) -> None:
    for path in ("/", "/version", API + "experiments/search", "/graphql", "/v1/traces"):
        status, text = await guarded.ask("GET", path, None)
        assert status == 401, (path, text)
    assert "MLFLOW_TRACKING_TOKEN" in text
    status, _ = await guarded.ask("GET", "/health", None)
    assert status == 200


async def test_the_page_opens_with_a_token_as_password(guarded: GuardedMlflow) -> None:
    async with guarded.session.get(guarded.uri + "/") as response:
        assert response.headers["WWW-Authenticate"].startswith("Basic")
    credentials = base64.b64encode(f"anyone:{guarded.secrets['ann']}".encode()).decode()
    for path in ("/", "/ajax-api/2.0/mlflow/users/current", "/version"):
        status, text = await guarded.ask(
            "GET", path, None, headers={"Authorization": f"Basic {credentials}"}
        )
        assert status == 200, (path, text)
    assert "ann" in (await _current(guarded, guarded.secrets["ann"]))["user"]["username"]


async def test_a_revoked_token_is_soon_refused(guarded: GuardedMlflow) -> None:
    tokens = TokenFile(guarded.service.data_dir / "tokens.json")
    new = tokens.create(name="brief", scope=_scope(tokens, "ann"), at=_created(tokens))
    await guarded.accepts(new.secret)
    tokens.revoke("brief")

    async def is_refused() -> bool:
        return (await guarded.ask("GET", "/version", new.secret))[0] == 401

    await eventually(is_refused, what="MLflow refuses the revoked token")


async def test_owners_share_experiments_but_not_runs(guarded: GuardedMlflow) -> None:
    anns = await owned_things.make(guarded, "ann", "shared")
    bob, ann = guarded.api(guarded.attempt("bob")), guarded.api(guarded.attempt("ann"))
    run = (await bob.post("runs/create", experiment_id=anns.experiment_id))["run"]["info"]
    await bob.post("runs/log-metric", run_id=run["run_id"], key="m", value=1, timestamp=1)
    body = {"run_id": run["run_id"], "key": "m", "value": 2, "timestamp": 2}
    status, text = await guarded.ask(
        "POST", API + "runs/log-metric", guarded.attempt("ann"), json=body
    )
    assert status == 403
    assert "ann may not do this" in json.loads(text)["message"]
    assert (await ann.run(run["run_id"]))["data"]["metrics"][0]["value"] == 1
    for caller in ("ann", "bob"):
        status, _ = await guarded.ask(
            "POST",
            API + "experiments/delete",
            guarded.attempt(caller),
            json={"experiment_id": anns.experiment_id},
        )
        assert status == 403
    status, _ = await guarded.ask(
        "DELETE", f"{ARTIFACTS}{anns.experiment_id}", guarded.attempt("ann")
    )
    assert status == 403


async def test_spans_cannot_change_a_trace_or_run_of_others(guarded: GuardedMlflow) -> None:
    anns = await owned_things.make(guarded, "ann", "spans")
    trace, bob = anns.trace_id.removeprefix("tr-"), guarded.attempt("bob")
    status, _ = await export_span(guarded, bob, trace, anns.experiment_id)
    assert status == 403
    other = "f" * 32
    status, _ = await export_span(
        guarded, bob, other, anns.experiment_id, **{"x-mlflow-run-id": anns.run_id}
    )
    assert status == 403
    status, _ = await export_span(guarded, bob, other, anns.experiment_id)
    assert status == 200


async def test_a_guests_traces_stay_with_the_guest(guarded: GuardedMlflow) -> None:
    bobs = await owned_things.make(guarded, "bob", "host")
    anns = await owned_things.make(
        guarded, "ann", "guest-of-host", experiment_id=bobs.experiment_id
    )
    for choice in (
        {"request_ids": [anns.trace_id]},
        {"request_ids": [bobs.trace_id, anns.trace_id]},
        {"max_timestamp_millis": 1 << 50, "max_traces": 100},
    ):
        for path in (API + "traces/delete-traces", "/api/3.0/mlflow/traces/delete-traces"):
            status, _ = await guarded.ask(
                "POST",
                path,
                guarded.attempt("bob"),
                json={"experiment_id": bobs.experiment_id, **choice},
            )
            assert status == 403, (path, choice)
    status, text = await guarded.ask(
        "POST",
        API + "traces/delete-traces",
        guarded.attempt("bob"),
        json={"experiment_id": bobs.experiment_id, "request_ids": [bobs.trace_id]},
    )
    assert status == 200, text


async def test_nobody_passes_a_run_off_as_a_jobs(guarded: GuardedMlflow) -> None:
    api = guarded.api(guarded.secrets["bob"])
    experiment = (await api.post("experiments/create", name="passed-off"))["experiment_id"]
    tags = [{"key": "asgard.job_id", "value": "0123abcd"}, {"key": "kept", "value": "yes"}]
    run = (await api.post("runs/create", experiment_id=experiment, tags=tags))["run"]["info"]
    await api.post("runs/set-tag", run_id=run["run_id"], key="asgard.job_id", value="0123abcd")
    await api.post("runs/log-batch", run_id=run["run_id"], tags=tags)
    found = named((await api.run(run["run_id"]))["data"]["tags"])
    assert found["kept"] == "yes"
    assert "asgard.job_id" not in found


async def test_readers_change_nothing(guarded: GuardedMlflow) -> None:
    reader = guarded.secrets["reader"]
    for path, body in (
        ("runs/create", {"experiment_id": "0"}),
        ("experiments/create", {"name": "of-a-reader"}),
        ("registered-models/create", {"name": "of-a-reader"}),
    ):
        status, text = await guarded.ask("POST", API + path, reader, json=body)
        assert (status, "scope read" in text) == (403, True), (path, text)
    await guarded.api(reader).post("experiments/search", max_results=10)


async def test_webhooks_are_for_administrators(guarded: GuardedMlflow) -> None:
    for name, expected in (("bob", 404), ("boss", 200)):
        status, text = await guarded.ask("GET", API + "webhooks", guarded.secrets[name])
        assert status == expected, text
    status, _ = await guarded.ask("GET", API + "webhooks", guarded.attempt("boss"))
    assert status == 404  # a job has no more rights than its owner needs


async def test_names_of_models_belong_to_owners(guarded: GuardedMlflow) -> None:
    anns = await owned_things.make(guarded, "ann", "names")
    job = await _run_job(guarded, "bob", LOGS_A_MODEL, "names-of-bob", anns.model_name)
    assert job["status"] == "completed", job["logs"]
    assert job["model_version"] is None

    async def says_why() -> bool:
        found = await guarded.service.job(job["job_id"])
        history: list[Any] = found["history"]
        return "bob may not do this" in json.dumps(history)

    await eventually(says_why, what="the job says why its model was not registered")
    job = await _run_job(guarded, "bob", LOGS_A_MODEL, "names-of-bob", "model-of-bob")
    job_id = job["job_id"]

    async def is_registered() -> bool:
        return bool((await guarded.service.job(job_id))["model_version"] == "1")

    await eventually(is_registered, what="the model is registered")
    page = await guarded.api(guarded.secrets["ann"]).get(
        "model-versions/search", filter=f"name = '{anns.model_name}'"
    )
    assert len(page["model_versions"]) == 1


async def test_locations_of_artifacts_are_not_chosen(guarded: GuardedMlflow) -> None:
    location = "mlflow-artifacts:/1/0123/artifacts"
    body = {"name": "elsewhere", "artifact_location": location}
    status, text = await guarded.ask(
        "POST", API + "experiments/create", guarded.attempt("bob"), json=body
    )
    assert (status, "artifact_location" in text) == (400, True)


async def test_routes_without_a_decision_are_refused(
    guarded: GuardedMlflow, tmp_path: Path
) -> None:
    nothing = Things(
        **dict.fromkeys(
            ("run_id", "model_id", "trace_id", "experiment_id", "model_name", "prompt_name"), "1"
        ),
        dataset_id="1",
        owns_experiment=False,
    )
    table = routes(tmp_path)
    undecided = [route for route in table if not route.is_decided]
    assert len(table) > 500
    for route in undecided:
        status, _ = await guarded.ask(
            route.method, path_for(route, nothing.fields()), guarded.secrets["bob"], json={}
        )
        assert status in {403, 404, 405}, route
    status, _ = await guarded.ask("POST", API + "news/create", guarded.secrets["bob"], json={})
    assert status in {403, 404}


async def _current(guarded: GuardedMlflow, token: str) -> Any:
    status, text = await guarded.ask("GET", "/ajax-api/2.0/mlflow/users/current", token)
    assert status == 200, text
    found = json.loads(text)
    return found if "user" in found else {"user": found}


async def _run_job(
    guarded: GuardedMlflow, owner: str, script: str, experiment: str, model: str
) -> Any:
    headers = {"Authorization": f"Bearer {guarded.secrets[owner]}"}
    status, job = await guarded.service.post(
        "/mlops/training/upload",
        headers=headers,
        json=submission(script, experiment_name=experiment, model_name=model),
    )
    assert status == 202, job
    return await guarded.service.finished(job["job_id"], within=120)


def _scope(tokens: TokenFile, name: str) -> Any:
    return next(token.scope for token in tokens.all() if token.name == name)


def _created(tokens: TokenFile) -> Any:
    return tokens.all()[0].created_at
