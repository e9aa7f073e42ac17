"""Attacks on the embedded MLflow of a real service: its tokens, origins and features."""

import json
from typing import Any

import aiohttp
import pytest

from tests.support.attacked_mlflow import API, ARTIFACTS, CREATE, AttackedMlflow
from tests.support.mlflow_user import fresh

pytestmark = [pytest.mark.mlflow, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("damage", ["signature", "payload", "expired", "garbage"])
async def test_damaged_tokens_are_refused(embedded: AttackedMlflow, damage: str) -> None:
    token = embedded.tokens.of_attempt("0a1b2c3d", 1, owner="ann", timeout_seconds=60)
    if damage == "signature":
        token = token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB")
    elif damage == "payload":
        other = embedded.tokens.of_attempt("11111111", 1, owner="eve", timeout_seconds=60)
        token = ".".join((*other.split(".")[:2], token.split(".")[2]))
    elif damage == "expired":
        token = embedded.tokens.of_attempt("0a1b2c3d", 1, owner="ann", timeout_seconds=-1e6)
    else:
        token = "asgard-attempt." + "é" * 10
    headers = {"Authorization": f"Bearer {token}"}
    status, text = await embedded.ask("GET", f"{API}experiments/search", headers=headers)
    assert status == 401
    assert "MLFLOW_TRACKING_TOKEN" in json.loads(text)["message"]


# --- origins and hosts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:9999", "http://localhost:3000", "https://evil.example", "null"]
)
async def test_pages_of_other_origins_cannot_use_mlflow(
    embedded: AttackedMlflow, origin: str
) -> None:
    headers = {"Origin": origin}
    for method, path in (
        ("GET", f"{API}experiments/search?max_results=1"),
        ("GET", f"{ARTIFACTS}?path=x"),
        ("GET", "/"),
        ("OPTIONS", CREATE),
        ("POST", CREATE),
        ("PUT", f"{ARTIFACTS}planted"),
    ):
        preflight = {**headers, "Access-Control-Request-Method": "POST"}
        async with aiohttp.ClientSession() as session:
            async with session.request(method, embedded.uri + path, headers=preflight) as response:
                names = [name for name in response.headers if name.startswith("Access-Control")]
                assert not names
                if method != "GET":
                    assert response.status == 403
    assert not (embedded.store / "artifacts" / "planted").exists()


async def test_its_own_page_can_use_mlflow(embedded: AttackedMlflow) -> None:
    body = {"name": fresh("own page")}
    status, text = await embedded.ask("POST", CREATE, json=body, headers={"Origin": embedded.uri})
    assert status == 200, text


@pytest.mark.parametrize("host", ["10.evil.example", "192.168.evil.example:80", "evil", "", "[::1"])
async def test_rebound_host_names_are_refused(embedded: AttackedMlflow, host: str) -> None:
    """MLflow itself would accept the first two, as addresses of a private network."""
    path = f"{API}experiments/search?max_results=1"
    status, text = await embedded.ask("GET", path, headers={"Host": host})
    assert (status, "not known as this host" in text) == (403, True), text


# --- features that are off ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ajax-api/3.0/mlflow/assistant/config"),
        ("PUT", "/ajax-api/3.0/mlflow/assistant/config"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/ajax-api/3.0/jobs/"),
        ("POST", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/gateway/x/mlflow/invocations"),
        ("GET", "/api/3.0/mlflow/gateway/endpoints/list"),
        ("POST", "/api/2.0/mlflow/webhooks"),
    ],
)
async def test_features_with_the_servers_permissions_are_off(
    embedded: AttackedMlflow, method: str, path: str
) -> None:
    status, text = await embedded.ask(method, path, json={})
    assert status == 404, text
    assert "does not offer" in text


async def test_other_artifact_stores_are_not_accessed(embedded: AttackedMlflow) -> None:
    for location in ("s3://somebody/else", "gs://somebody/else", "http://127.0.0.1:1/x"):
        body: dict[str, Any] = {"name": fresh("led"), "artifact_location": location}
        status, text = await embedded.ask("POST", CREATE, json=body)
        if status != 200:
            continue
        body = {"experiment_id": json.loads(text)["experiment_id"], "start_time": 1}
        _, text = await embedded.ask("POST", f"{API}runs/create", json=body)
        run_id = json.loads(text)["run"]["info"]["run_id"]
        status, text = await embedded.ask("GET", f"{API}artifacts/list?run_id={run_id}")
        assert status == 400
        assert "only its own artifact store" in text
