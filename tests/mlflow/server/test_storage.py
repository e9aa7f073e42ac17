"""Attacks on what the embedded MLflow stores: artifacts and records."""

import asyncio
import contextlib
import ctypes
import http.client
import io
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from asgard_async.mlflow.server.artifacts import MAX_CREATED, MAX_RECORD_BYTES
from asgard_async.mlflow.server.interrupted_uploads import TEMPORARY_PREFIX
from tests.support.asgard_command import asgard
from tests.support.attacked_mlflow import (
    API,
    ARTIFACTS,
    CREATE,
    LIMIT_MB,
    MIB,
    AttackedMlflow,
    stream,
)
from tests.support.eventually import eventually
from tests.support.mlflow_user import fresh, fresh_job_id
from tests.support.service_users import IS_ROOT

pytestmark = [pytest.mark.mlflow, pytest.mark.asyncio(loop_scope="session")]

UPLOADS = """
import os, urllib.error, urllib.request
base = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow-artifacts/artifacts/"
def put(name, size):
    request = urllib.request.Request(base + name, bytes(size << 20), method="PUT")
    request.add_header("Authorization", "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"])
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
print([put(f"of-a-job/{number}", 20) for number in range(3)])
"""


# --- artifacts ---------------------------------------------------------------------------------


async def test_artifacts_of_a_job_have_its_disk_limit(embedded: AttackedMlflow) -> None:
    job = await embedded.service.finished(await embedded.service.submit(UPLOADS))
    assert job["status"] == "completed", job["logs"]
    assert job["logs"].startswith("[200, 200, (413,"), job["logs"]
    assert "[limits] job_dir_mb" in job["logs"]
    stored = sum(path.stat().st_size for path in (embedded.store / "artifacts/of-a-job").iterdir())
    assert stored == 40 * MIB


async def test_gc_lists_the_artifacts_of_jobs(embedded: AttackedMlflow) -> None:
    job_id, data = fresh_job_id(), embedded.service.data_dir
    assert await embedded.put(job_id, f"{fresh('named')}/x", 3) == 200
    done = await asyncio.to_thread(asgard, "gc", "--artifacts", "--json", "--data-dir", data)
    assert done.returncode == 0, done.stderr
    assert {"kind": "artifacts", "name": job_id, "size_bytes": 3 * MIB} in json.loads(done.stdout)
    done = await asyncio.to_thread(asgard, "gc", "--dry-run", "--data-dir", data)
    assert "Artifacts in MLflow: " in done.stdout


async def test_the_report_on_artifacts_is_for_gc_alone(embedded: AttackedMlflow) -> None:
    reporter = {"Authorization": f"Bearer {embedded.tokens.of_reporter()}"}
    for headers in ({}, embedded.token(fresh_job_id())):
        assert (await embedded.ask("GET", "/asgard/artifacts", headers=headers))[0] == 404
    assert (await embedded.ask("GET", "/asgard/artifacts", headers=reporter))[0] == 200


async def test_an_unannounced_upload_is_stopped_and_removed(embedded: AttackedMlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("endless")
    status, text = await embedded.ask(
        "PUT", f"{ARTIFACTS}{folder}/x", data=stream(100 * MIB), headers=embedded.token(job_id)
    )
    assert status == 413, text
    assert not [
        path for path in (embedded.store / "artifacts" / folder).rglob("*") if path.is_file()
    ]
    assert await embedded.put(job_id, f"{folder}/y", 1) == 200


async def test_concurrent_uploads_share_the_limit(embedded: AttackedMlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("concurrent")
    statuses = await asyncio.gather(
        *(embedded.put(job_id, f"{folder}/{number}", 15) for number in range(6))
    )
    assert statuses.count(200) <= 3
    assert set(statuses) == {200, 413}


async def test_replaced_and_deleted_artifacts_are_freed(embedded: AttackedMlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("freed")
    for _ in range(3):
        assert await embedded.put(job_id, f"{folder}/same", 40) == 200
    assert await embedded.put(job_id, f"{folder}/other", 20) == 413
    headers = embedded.token(job_id)
    status, _ = await embedded.ask("DELETE", f"{ARTIFACTS}{folder}", headers=headers)
    assert status == 200
    assert await embedded.put(job_id, f"{folder}/other", 20) == 200


async def test_many_empty_artifacts_count(embedded: AttackedMlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("empty")
    assert await embedded.put(job_id, f"{folder}/large", LIMIT_MB - 0.01) == 200
    names = ("a", "b", "/".join("d" * 200))
    statuses = [await embedded.put(job_id, f"{folder}/{name}", 0) for name in names]
    assert statuses == [200, 200, 413]


async def test_callers_without_a_token_share_one_limit(embedded: AttackedMlflow) -> None:
    folder = fresh("anonymous")
    statuses = set()
    for number in range(4):
        path = f"{ARTIFACTS}{folder}/{number}"
        statuses.add((await embedded.ask("PUT", path, data=io.BytesIO(bytes(20 * MIB))))[0])
    assert 413 in statuses
    # others, the service included, are not affected
    assert await embedded.put(fresh_job_id(), f"{folder}/other", 1) == 200
    name = fresh("experiment")
    job_id = await embedded.service.submit("import msgspec", experiment_name=name)
    await embedded.service.finished(job_id)
    status, _ = await embedded.ask("GET", f"{API}experiments/get-by-name?experiment_name={name}")
    assert status == 200


# --- records -----------------------------------------------------------------------------------


async def test_a_job_creates_a_bounded_number_of_things(embedded: AttackedMlflow) -> None:
    job_id = fresh_job_id()
    embedded.has_used(job_id, created=MAX_CREATED - 1)
    body, headers = {"name": fresh("last")}, embedded.token(job_id)
    status, text = await embedded.ask("POST", CREATE, json=body, headers=headers)
    assert status == 200, text
    body = {"experiment_id": json.loads(text)["experiment_id"]}
    for path in ("runs/create", "experiments/create", "registered-models/create", "logged-models"):
        status, text = await embedded.ask("POST", API + path, json=body, headers=headers)
        assert (status, "use fewer" in text) == (400, True), path
    # what exists can be read and changed, and other jobs are not affected
    assert (await embedded.ask("POST", f"{API}runs/search", json={}, headers=headers))[0] == 200
    headers = embedded.token(fresh_job_id())
    assert (await embedded.ask("POST", API + "runs/create", json=body, headers=headers))[0] == 200


async def test_records_of_a_job_are_bounded(embedded: AttackedMlflow) -> None:
    job_id = fresh_job_id()
    embedded.has_used(job_id, written=MAX_RECORD_BYTES - 1000)
    headers = embedded.token(job_id)
    body = {"name": fresh("records"), "tags": [{"key": "x", "value": "y" * 500}]}
    status, text = await embedded.ask("POST", CREATE, json=body, headers=headers)
    assert status == 200, text
    body["name"] = fresh("beyond")
    status, text = await embedded.ask("POST", CREATE, json=body, headers=headers)
    assert (status, "log less often" in text) == (413, True), text
    # a body of an unknown size as well
    status, _ = await embedded.ask("POST", CREATE, data=stream(MIB), headers=headers)
    assert status == 413
    assert await embedded.put(job_id, f"{fresh('folder')}/artifact", 1) == 200


@pytest.mark.skipif(not IS_ROOT, reason="needs a second user")
async def test_callers_without_a_token_have_limits_by_user(embedded: AttackedMlflow) -> None:
    folder = fresh("by-user")

    def put(name: str, uid: int) -> int:
        host, port = embedded.uri.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port))
        with as_file_user(uid):
            connection.sock = socket.socket()
        connection.sock.connect((host, int(port)))
        connection.request("PUT", f"{ARTIFACTS}{folder}/{name}", body=bytes(40 * MIB))
        with contextlib.closing(connection):
            return connection.getresponse().status

    uids = (54_321, 54_321, 54_322)
    statuses = [await asyncio.to_thread(put, str(n), uid) for n, uid in enumerate(uids)]
    assert statuses == [200, 413, 200]


@contextlib.contextmanager
def as_file_user(uid: int) -> Iterator[None]:
    """Open files and sockets as another user, in this thread alone."""
    libc = ctypes.CDLL(None)
    libc.setfsuid(uid)
    try:
        yield
    finally:
        libc.setfsuid(0)


# --- a killed server ---------------------------------------------------------------------------


async def test_an_upload_of_a_killed_server_leaves_nothing(embedded: AttackedMlflow) -> None:
    """The server restarts; other tests use the next one."""
    folder = fresh("cut-off")
    directory = embedded.store / "artifacts" / folder
    is_over = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(8 * MIB)
        await is_over.wait()

    upload = asyncio.create_task(
        embedded.ask(
            "PUT", f"{ARTIFACTS}{folder}/x", data=endless(), headers=embedded.token(fresh_job_id())
        )
    )
    await eventually(
        lambda: any(path.stat().st_size for path in directory.glob(f"{TEMPORARY_PREFIX}*")),
        what="a part is written",
    )
    os.kill(embedded.pid, signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await upload
    is_over.set()
    # waits for the next server
    assert (await embedded.ask("GET", "/health"))[0] == 200
    assert list(directory.iterdir()) == []
