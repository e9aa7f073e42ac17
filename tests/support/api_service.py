"""The whole service inside the test process, behind a socket: real store and executor, no MLflow.

`tests.support.service` runs it in a separate process, for tests that kill it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse

from asgard_async.app import create_app
from asgard_async.auth.token import Scope
from asgard_async.auth.token_file import TokenFile
from asgard_async.config import Config, load_config
from asgard_async.config.component import CONFIG
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.timestamps import now
from asgard_async.executors.component import EXECUTOR
from asgard_async.logs.file_source import FileLogSource
from asgard_async.store.component import STORE
from asgard_async.store.jobs import JobStore
from tests.support.app_server import Client, serving
from tests.support.eventually import eventually
from tests.support.markers import assert_may_start_a_service
from tests.support.openapi_check import only_documented
from tests.support.service import NOWHERE, remove_control_groups, submission

Document = dict[str, Any]

HELLO = "print('hello')\n"
ENDLESS = "import time\nwhile True:\n    time.sleep(60)\n"


def service_config(data_dir: Path, **sections: Mapping[str, Any]) -> Config:
    """The default configuration, with MLflow at an address where nothing listens."""
    overrides: dict[str, dict[str, Any]] = {
        "server": {"data_dir": str(data_dir)},
        "jobs": {"stop_grace_seconds": 0.5},
        "mlflow": {"tracking_uri": NOWHERE},
        "tracking": {"settle_seconds": 0.0},
        "warm": {"preload": ["idna"]},  # see tests.support.service.QUICK_TO_WARM
    }
    for section, keys in sections.items():
        overrides.setdefault(section, {}).update(keys)
    return load_config(environ={}, overrides=overrides)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Client]:
    """A client of the service; fails if a response is not in the OpenAPI document.

    Jobs that a test leaves queued or running are cancelled.
    """
    assert_may_start_a_service()
    app = create_app(config)
    async with only_documented(app), serving(app) as client:
        yield client
        for status in ("queued", "running"):  # the queued would follow the running
            path = f"/mlops/training/jobs?status={status}"
            while jobs := (await get_json(client, path))["jobs"]:
                for job in jobs:
                    await client.post(f"/mlops/training/jobs/{job['job_id']}/cancel")
                    await finished(client, job["job_id"])
    # kept for a job that was about to start
    await remove_control_groups(config.data_dir)


def store_of(client: Client) -> JobStore:
    """The service's store. Jobs accepted through it stay queued: the dispatcher is not notified."""
    store: JobStore = client.app[STORE]
    return store


def tokens_of(client: Client) -> TokenFile:
    """The service's tokens, as `asgard token` sees them."""
    return TokenFile(DataDirectory(root=client.app[CONFIG].data_dir).tokens)


def bearer(client: Client, scope: Scope) -> dict[str, str]:
    """Headers with a new token of a scope."""
    new = tokens_of(client).create(name=None, scope=scope, at=now())
    return {"Authorization": f"Bearer {new.secret}"}


def log_of(client: Client, job_id: str) -> Path:
    """The path of a job's log; creates its directory."""
    logs = client.app[EXECUTOR].logs
    assert isinstance(logs, FileLogSource)
    path = logs.path_of(job_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


async def submit(client: Client, script: str | bytes = HELLO, **fields: Any) -> Document:
    """Submit a script that must be accepted; return the job."""
    response = await client.post("/mlops/training/upload", json=submission(script, **fields))
    document: Document = await response.json()
    assert response.status == 202, document
    return document


async def get_json(client: Client, path: str, **query: str) -> Document:
    """The JSON of a GET that must succeed."""
    response = await client.get(path, params=query)
    document: Document = await response.json()
    assert response.status == 200, document
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    return document


async def job(client: Client, job_id: str, **query: str) -> Document:
    return await get_json(client, f"/mlops/training/jobs/{job_id}", **query)


async def in_status(client: Client, job_id: str, *statuses: str) -> Document:
    """Wait until a job has one of the statuses; return the job."""

    async def look() -> Document:
        found = await job(client, job_id)
        return found if found["status"] in statuses else {}

    wait: Any = eventually(look, what=f"job {job_id} is {' or '.join(statuses)}")
    found: Document = await wait
    return found


async def finished(client: Client, job_id: str) -> Document:
    return await in_status(client, job_id, "completed", "failed", "cancelled")


async def cancel(client: Client, job_id: str) -> Document:
    """Cancel a job and wait until it has ended."""
    response = await client.post(f"/mlops/training/jobs/{job_id}/cancel")
    assert response.status == 202, await response.text()
    return await finished(client, job_id)


async def problem(response: ClientResponse, status: int) -> Document:
    """Check that a response is a problem document with this status; return it."""
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "application/problem+json"
    document: Document = await response.json(content_type=None)
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-ID"]
    assert document["type"]
    assert document["title"]
    assert document["detail"]
    assert ("errors" in document) == (status == 422)
    assert ("Retry-After" in response.headers) == (status in {429, 503})
    assert "Traceback" not in text
    return document


async def refused_fields(response: ClientResponse) -> dict[str, list[str]]:
    """The field errors of a response that must be a 422."""
    errors: dict[str, list[str]] = (await problem(response, 422))["errors"]
    assert errors
    return errors
