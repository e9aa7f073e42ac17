"""Jobs belong to the token that submitted them: what other tokens may read and change."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from asgard_async.auth.token import Scope
from asgard_async.core.timestamps import now
from tests.store.conftest import accept
from tests.support.api_service import problem, running, service_config, store_of, tokens_of
from tests.support.app_server import Client
from tests.support.service import submission

JOBS = "/mlops/training/jobs"
ADA, BOB, EVE, ROOT = "ada", "bob", "eve", "root"
SCOPES = {ADA: Scope.SUBMIT, BOB: Scope.SUBMIT, EVE: Scope.READ, ROOT: Scope.ADMIN}

pytestmark = pytest.mark.service


class Clients:
    """One client for each token, of one service."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.secrets = {
            name: tokens_of(client).create(name=name, scope=scope, at=now()).secret
            for name, scope in SCOPES.items()
        }

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    async def send(self, name: str, method: str, path: str, **options: Any) -> Any:
        return await self.client.request(method, path, headers=self.headers(name), **options)

    async def get(self, name: str, path: str, **query: str) -> Any:
        response = await self.send(name, "GET", path, params=query)
        assert response.status == 200, await response.text()
        return await response.json()

    async def submit(self, name: str, **fields: Any) -> str:
        response = await self.send(
            name, "POST", "/mlops/training/upload", json=submission("print(1)", **fields)
        )
        assert response.status == 202, await response.text()
        return str((await response.json())["job_id"])


async def clients_of(tmp_path: Path, **sections: Any) -> AsyncIterator[Clients]:
    config = service_config(tmp_path, isolation={"level": "process"}, **sections)
    async with running(config) as client:
        clients = Clients(client)
        yield clients
        (tmp_path / "tokens.json").unlink()  # the client looks for running jobs on exit


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    async for clients in clients_of(tmp_path):
        yield clients


@pytest.fixture
async def private(tmp_path: Path) -> AsyncIterator[Clients]:
    async for clients in clients_of(tmp_path, access={"others_read": False}):
        yield clients


async def queued_job(clients: Clients, owner: str, **changes: Any) -> str:
    """A job that stays queued: the dispatcher is not notified of it."""
    return (await accept(store_of(clients.client), submitted_by=owner, **changes)).job_id


async def test_another_token_changes_nothing(clients: Clients) -> None:
    job_id = await queued_job(clients, ADA)
    for method, path in (("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
        response = await clients.send(BOB, method, f"{JOBS}/{job_id}{path}")
        document = await problem(response, 403)
        assert document["type"] == "urn:asgard:problem:not-your-job"
    assert (await clients.get(BOB, f"{JOBS}/{job_id}"))["status"] == "queued"
    assert len((await clients.get(BOB, JOBS))["jobs"]) == 1


async def test_owners_and_administrators_change_jobs(clients: Clients) -> None:
    for name in (ADA, ROOT):
        job_id = await queued_job(clients, ADA)
        response = await clients.send(name, "POST", f"{JOBS}/{job_id}/cancel")
        assert (await response.json())["status"] == "cancelled"
        assert (await clients.send(name, "DELETE", f"{JOBS}/{job_id}")).status == 204


async def test_only_administrators_change_jobs_of_nobody(clients: Clients) -> None:
    tokens = tokens_of(clients.client)
    for owner in ("", BOB):
        job_id = await queued_job(clients, owner)
        if owner:
            tokens.revoke(owner)
        await problem(await clients.send(ADA, "POST", f"{JOBS}/{job_id}/cancel"), 403)
        response = await clients.send(ROOT, "POST", f"{JOBS}/{job_id}/cancel")
        assert response.status == 202


async def test_only_owners_see_values_of_variables(clients: Clients) -> None:
    job_id = await queued_job(clients, ADA, environment_vars={"SECRET": "hunter2"})
    names = {"SECRET": None}
    for name, seen in ((ADA, {"SECRET": "hunter2"}), (BOB, names), (EVE, names), (ROOT, names)):
        document = await clients.get(name, f"{JOBS}/{job_id}")
        assert document["environment_vars"] == seen
    of_nobody = await queued_job(clients, "", environment_vars={"SECRET": "hunter2"})
    for name in SCOPES:
        response = await clients.send(name, "GET", f"{JOBS}/{of_nobody}")
        assert "hunter2" not in await response.text()


async def test_a_retry_of_anothers_job_drops_its_variables(clients: Clients) -> None:
    job_id = await queued_job(clients, ADA, environment_vars={"SECRET": "hunter2"})
    response = await clients.send(ROOT, "POST", f"{JOBS}/{job_id}/retry")
    document = await response.json()
    assert (response.status, document["omitted"]) == (202, ["environment_vars"])
    again = await store_of(clients.client).get(document["job_id"])
    assert (again.submitted_by, again.spec.environment_vars) == (ROOT, {})
    history = (await clients.get(ROOT, f"{JOBS}/{again.job_id}"))["history"]
    assert "environment variables" in history[0]["detail"]

    response = await clients.send(ADA, "POST", f"{JOBS}/{job_id}/retry")
    document = await response.json()
    assert (response.status, document["omitted"]) == (202, [])
    again = await store_of(clients.client).get(document["job_id"])
    assert again.spec.environment_vars == {"SECRET": "hunter2"}


async def test_lists_are_filtered_by_owner(clients: Clients) -> None:
    ada, bob = await queued_job(clients, ADA), await queued_job(clients, BOB)
    for name, query, expected in (
        (ADA, {}, {ada, bob}),
        (ADA, {"mine": "true"}, {ada}),
        (EVE, {"mine": "true"}, set()),
        (EVE, {"owner": BOB}, {bob}),
        (ADA, {"owner": BOB, "mine": "true"}, set()),
    ):
        jobs = (await clients.get(name, JOBS, **query))["jobs"]
        assert {job["job_id"] for job in jobs} == expected
        assert all(job["submitted_by"] == (ADA if job["job_id"] == ada else BOB) for job in jobs)


async def test_a_high_priority_counts_among_own_jobs(clients: Clients, tmp_path: Path) -> None:
    jobs = {name: await clients.submit(name, priority=7) for name in (ADA, ROOT)}
    response = await clients.send(ADA, "POST", f"{JOBS}/{jobs[ADA]}/retry")
    jobs["retry"] = (await response.json())["job_id"]
    low = await clients.submit(BOB, priority=-1)
    with contextlib.closing(sqlite3.connect(tmp_path / "asgard.db")) as database:
        rows = database.execute("SELECT job_id, priority, queue_priority FROM jobs")
        found = {job_id: priorities for job_id, *priorities in rows}
    assert found == {jobs[ADA]: [7, 0], jobs["retry"]: [7, 0], jobs[ROOT]: [7, 7], low: [-1, -1]}


async def test_invisible_jobs_do_not_exist(private: Clients) -> None:
    job_id, tags = await queued_job(private, ADA, tags={"a": "b"}), {"tag": "a:b"}
    document = await missing(private, "GET", f"{JOBS}/01234567")
    for method, path in (
        ("GET", ""),
        ("GET", "/logs"),
        ("GET", "/logs?follow=true"),
        ("GET", "/script"),
        ("GET", "/logs/ws"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ):
        invisible = await missing(private, method, f"{JOBS}/{job_id}{path}")
        assert invisible == document | {"detail": document["detail"].replace("01234567", job_id)}
    with pytest.raises(WSServerHandshakeError, match="404"):
        await private.client.ws_connect(f"{JOBS}/{job_id}/logs/ws", headers=private.headers(BOB))
    for query in ({}, {"owner": ADA}, tags, {"experiment_name": "experiment"}):
        assert (await private.get(BOB, JOBS, **query))["jobs"] == []
        assert len((await private.get(ADA, JOBS, **query))["jobs"]) == 1
        assert len((await private.get(ROOT, JOBS, **query))["jobs"]) == 1
    for name, jobs in ((ADA, 1), (BOB, 0), (EVE, 0), (ROOT, 1)):
        assert (await private.get(name, "/mlops/status"))["jobs"]["queued"] == jobs


async def missing(clients: Clients, method: str, path: str) -> dict[str, Any]:
    document = await problem(await clients.send(BOB, method, path), 404)
    return {name: text for name, text in document.items() if name != "request_id"}


async def test_keys_of_others_are_unknown(private: Clients) -> None:
    first = await private.submit(ADA, idempotency_key="key")
    assert await private.submit(BOB, idempotency_key="key", tags={"a": "b"}) != first


async def test_metrics_name_no_job_and_no_owner(private: Clients) -> None:
    job_id = await private.submit(ADA, experiment_name="confidential")
    await private.send(BOB, "GET", f"{JOBS}/{job_id}")
    page = await (await private.send(EVE, "GET", "/metrics")).text()
    assert "asgard_jobs{" in page
    assert not [text for text in (job_id, ADA, "confidential") if text in page]


async def test_nobody_has_more_than_half_of_the_queue(tmp_path: Path) -> None:
    async for clients in clients_of(tmp_path, jobs={"max_queued_jobs": 4}):
        mine = [await queued_job(clients, ADA) for _ in range(2)]
        for path, body in (
            ("/mlops/training/upload", submission("print(1)")),
            (f"{JOBS}/{mine[0]}/retry", None),
        ):
            document = await problem(await clients.send(ADA, "POST", path, json=body), 429)
            assert document["type"] == "urn:asgard:problem:queue-share-used"
        await clients.submit(BOB)
