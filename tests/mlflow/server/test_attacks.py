"""Attacks on the embedded MLflow of a real service."""

import asyncio
import contextlib
import ctypes
import gzip
import http.client
import io
import json
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from asgard_async.config import load_config
from asgard_async.mlflow.attempt_tokens import AttemptTokens
from asgard_async.mlflow.embedded import ADDRESS_SPACE_BYTES
from asgard_async.mlflow.server.artifacts import MAX_CREATED, MAX_RECORD_BYTES
from asgard_async.mlflow.server.interrupted_uploads import TEMPORARY_PREFIX
from tests.support.asgard_command import asgard
from tests.support.eventually import eventually
from tests.support.mlflow_user import fresh, fresh_job_id
from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, Service, running_service
from tests.support.service_users import IS_ROOT, launcher_for_ordinary_user

pytestmark = [pytest.mark.mlflow, pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20
LIMIT_MB = 50
MAX_BODY = MIB
BODY_BYTES = 1500 * MIB
MARGIN_BYTES = 100 * MIB
API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
CREATE = API + "experiments/create"
SETTINGS = {
    **QUICK_TO_WARM,
    "ASGARD_TRACKING__REFRESH_SECONDS": "1",
    "ASGARD_LIMITS__JOB_DIR_MB": str(LIMIT_MB),
    "ASGARD_MLFLOW__MAX_BODY_BYTES": str(MAX_BODY),
}
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


class Mlflow:
    """The embedded server of a service, as its callers see it."""

    def __init__(self, service: Service, uri: str, session: aiohttp.ClientSession) -> None:
        self.service = service
        self.uri = uri
        self._session = session
        self.tokens = AttemptTokens.open(service.data_dir / "mlflow-server")

    @property
    def store(self) -> Path:
        return self.service.data_dir / "mlflow"

    def token(self, job_id: str) -> dict[str, str]:
        token = self.tokens.of_attempt(job_id, 1, owner="ann", timeout_seconds=60)
        return {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        async with self._session.request(method, self.uri + path, **options) as response:
            return response.status, await response.text()

    async def put(self, job_id: str, name: str, mib: float) -> int:
        data = io.BytesIO(bytes(int(mib * MIB)))
        return (await self.ask("PUT", ARTIFACTS + name, data=data, headers=self.token(job_id)))[0]

    def has_used(self, job_id: str, *, written: int = 0, created: int = 0) -> None:
        """Let a job that MLflow has not seen yet have used up a part of what it may store."""
        with contextlib.closing(sqlite3.connect(self.store / "usage.db")) as database, database:
            database.execute("INSERT INTO accounts VALUES (?, ?, ?)", (job_id, written, created))

    @property
    def pid(self) -> int:
        (pid,) = [
            pid
            for pid in processes_with(str(self.store))
            if b"server_program" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        return pid

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["same user", pytest.param("ordinary", marks=pytest.mark.soak)],
)
async def mlflow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mlflow]:
    data_dir = tmp_path_factory.mktemp("attacked") / "data"
    launcher = launcher_for_ordinary_user(data_dir) if request.param == "ordinary" else ()
    async with (
        running_service(data_dir, SETTINGS, launcher) as service,
        aiohttp.ClientSession() as session,
    ):
        yield Mlflow(service, await service.mlflow_uri(), session)


def chunks(size: int) -> Iterator[bytes]:
    block = b"x" * MIB
    for _ in range(size // MIB):
        yield block


async def stream(size: int) -> AsyncIterator[bytes]:
    for block in chunks(size):
        yield block


# --- memory ----------------------------------------------------------------------------------


async def test_a_huge_body_is_refused_without_being_buffered(mlflow: Mlflow) -> None:
    before = mlflow.peak_bytes()
    for headers in ({"Content-Length": str(BODY_BYTES)}, {}):
        try:
            status, text = await mlflow.ask(
                "POST", CREATE, data=stream(BODY_BYTES), headers=headers
            )
        except aiohttp.ClientError:
            continue  # the server closed the connection while the body was sent
        assert status == 413
        assert "max_body_bytes" in json.loads(text)["message"]
    assert mlflow.peak_bytes() - before < MARGIN_BYTES


async def test_a_body_beyond_the_limit_gets_a_clear_answer(mlflow: Mlflow) -> None:
    for data in (io.BytesIO(bytes(MAX_BODY + 1)), stream(3 * MIB)):
        status, text = await mlflow.ask("POST", CREATE, data=data)
        assert status == 413
        assert "[mlflow] max_body_bytes" in json.loads(text)["message"]


async def test_a_packed_body_is_bounded_unpacked(mlflow: Mlflow) -> None:
    before = mlflow.peak_bytes()
    bomb = gzip.compress(bytes(800 * MIB), 1)[: MAX_BODY - 1]
    headers = {
        "Content-Encoding": "gzip",
        "Content-Type": "application/x-protobuf",
        "X-MLflow-Experiment-Id": "0",
    }
    for path, expected, why in (
        ("/v1/traces", 413, "max_body_bytes"),
        (CREATE, 415, "uncompressed"),
        ("/graphql", 415, "uncompressed"),
    ):
        status, text = await mlflow.ask("POST", path, data=io.BytesIO(bomb), headers=headers)
        assert (status, why in text) == (expected, True), text
    headers["Content-Encoding"] = "zstd"
    assert (await mlflow.ask("POST", "/v1/traces", data=b"x", headers=headers))[0] == 415
    assert mlflow.peak_bytes() - before < MARGIN_BYTES


async def test_packed_traces_are_accepted(mlflow: Mlflow) -> None:
    headers = {
        "Content-Encoding": "gzip",
        "Content-Type": "application/x-protobuf",
        "X-MLflow-Experiment-Id": "0",
    }
    body = gzip.compress(ExportTraceServiceRequest().SerializeToString())
    status, text = await mlflow.ask("POST", "/v1/traces", data=body, headers=headers)
    assert (status, "no spans found" in text) == (400, True), text


async def test_endless_headers_are_refused(mlflow: Mlflow) -> None:
    before = mlflow.peak_bytes()
    host, port = mlflow.uri.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    try:
        for block in chunks(400 * MIB):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass
    writer.close()
    assert mlflow.peak_bytes() - before < MARGIN_BYTES


async def test_its_memory_is_limited(mlflow: Mlflow) -> None:
    """By its control group, or else by its address space."""
    pid, limits = mlflow.pid, []
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        with contextlib.suppress(OSError):  # groups of other tests disappear meanwhile
            if str(pid) in Path(folder, "cgroup.procs").read_text().split():
                names = {"memory.max", "memory.limit_in_bytes"}.intersection(files)
                limits += [Path(folder, name).read_text().strip() for name in names]
    space = Path(f"/proc/{pid}/limits").read_text().partition("Max address space")[2].split()[0]
    if space.isdecimal():
        limits.append(str(int(space) - ADDRESS_SPACE_BYTES))
    most = load_config(environ={}).mlflow.memory_mb << 20
    assert any(text.isdecimal() and int(text) <= most for text in limits), limits


# --- artifacts -------------------------------------------------------------------------------


async def test_artifacts_of_a_job_have_its_disk_limit(mlflow: Mlflow) -> None:
    job = await mlflow.service.finished(await mlflow.service.submit(UPLOADS))
    assert job["status"] == "completed", job["logs"]
    assert job["logs"].startswith("[200, 200, (413,"), job["logs"]
    assert "[limits] job_dir_mb" in job["logs"]
    stored = sum(path.stat().st_size for path in (mlflow.store / "artifacts/of-a-job").iterdir())
    assert stored == 40 * MIB


async def test_retention_names_the_artifacts_of_jobs(mlflow: Mlflow) -> None:
    job_id, data = fresh_job_id(), mlflow.service.data_dir
    assert await mlflow.put(job_id, f"{fresh('named')}/x", 3) == 200
    done = await asyncio.to_thread(asgard, "gc", "--artifacts", "--json", "--data-dir", data)
    assert done.returncode == 0, done.stderr
    assert {"kind": "artifacts", "name": job_id, "size_bytes": 3 * MIB} in json.loads(done.stdout)
    done = await asyncio.to_thread(asgard, "gc", "--dry-run", "--data-dir", data)
    assert "Artifacts in MLflow: " in done.stdout


async def test_the_report_on_artifacts_is_for_gc_alone(mlflow: Mlflow) -> None:
    reporter = {"Authorization": f"Bearer {mlflow.tokens.of_reporter()}"}
    for headers in ({}, mlflow.token(fresh_job_id())):
        assert (await mlflow.ask("GET", "/asgard/artifacts", headers=headers))[0] == 404
    assert (await mlflow.ask("GET", "/asgard/artifacts", headers=reporter))[0] == 200


async def test_an_unannounced_upload_is_stopped_and_removed(mlflow: Mlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("endless")
    status, text = await mlflow.ask(
        "PUT", f"{ARTIFACTS}{folder}/x", data=stream(100 * MIB), headers=mlflow.token(job_id)
    )
    assert status == 413, text
    assert not [path for path in (mlflow.store / "artifacts" / folder).rglob("*") if path.is_file()]
    assert await mlflow.put(job_id, f"{folder}/y", 1) == 200


async def test_concurrent_uploads_share_the_limit(mlflow: Mlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("concurrent")
    statuses = await asyncio.gather(
        *(mlflow.put(job_id, f"{folder}/{number}", 15) for number in range(6))
    )
    assert statuses.count(200) <= 3
    assert set(statuses) == {200, 413}


async def test_replaced_and_deleted_artifacts_are_freed(mlflow: Mlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("freed")
    for _ in range(3):
        assert await mlflow.put(job_id, f"{folder}/same", 40) == 200
    assert await mlflow.put(job_id, f"{folder}/other", 20) == 413
    headers = mlflow.token(job_id)
    status, _ = await mlflow.ask("DELETE", f"{ARTIFACTS}{folder}", headers=headers)
    assert status == 200
    assert await mlflow.put(job_id, f"{folder}/other", 20) == 200


async def test_many_empty_artifacts_count(mlflow: Mlflow) -> None:
    job_id, folder = fresh_job_id(), fresh("empty")
    assert await mlflow.put(job_id, f"{folder}/large", LIMIT_MB - 0.01) == 200
    names = ("a", "b", "/".join("d" * 200))
    statuses = [await mlflow.put(job_id, f"{folder}/{name}", 0) for name in names]
    assert statuses == [200, 200, 413]


async def test_callers_without_a_token_share_one_limit(mlflow: Mlflow) -> None:
    folder = fresh("anonymous")
    statuses = set()
    for number in range(4):
        path = f"{ARTIFACTS}{folder}/{number}"
        statuses.add((await mlflow.ask("PUT", path, data=io.BytesIO(bytes(20 * MIB))))[0])
    assert 413 in statuses
    # others, the service included, are not affected
    assert await mlflow.put(fresh_job_id(), f"{folder}/other", 1) == 200
    name = fresh("experiment")
    job_id = await mlflow.service.submit("import msgspec", experiment_name=name)
    await mlflow.service.finished(job_id)
    status, _ = await mlflow.ask("GET", f"{API}experiments/get-by-name?experiment_name={name}")
    assert status == 200


# --- records ---------------------------------------------------------------------------------


async def test_a_job_creates_a_bounded_number_of_things(mlflow: Mlflow) -> None:
    job_id = fresh_job_id()
    mlflow.has_used(job_id, created=MAX_CREATED - 1)
    body, headers = {"name": fresh("last")}, mlflow.token(job_id)
    status, text = await mlflow.ask("POST", CREATE, json=body, headers=headers)
    assert status == 200, text
    body = {"experiment_id": json.loads(text)["experiment_id"]}
    for path in ("runs/create", "experiments/create", "registered-models/create", "logged-models"):
        status, text = await mlflow.ask("POST", API + path, json=body, headers=headers)
        assert (status, "use fewer" in text) == (400, True), path
    # what exists can be read and changed, and other jobs are not affected
    assert (await mlflow.ask("POST", f"{API}runs/search", json={}, headers=headers))[0] == 200
    headers = mlflow.token(fresh_job_id())
    assert (await mlflow.ask("POST", API + "runs/create", json=body, headers=headers))[0] == 200


async def test_records_of_a_job_are_bounded(mlflow: Mlflow) -> None:
    job_id = fresh_job_id()
    mlflow.has_used(job_id, written=MAX_RECORD_BYTES - 1000)
    headers = mlflow.token(job_id)
    body = {"name": fresh("records"), "tags": [{"key": "x", "value": "y" * 500}]}
    status, text = await mlflow.ask("POST", CREATE, json=body, headers=headers)
    assert status == 200, text
    body["name"] = fresh("beyond")
    status, text = await mlflow.ask("POST", CREATE, json=body, headers=headers)
    assert (status, "log less often" in text) == (413, True), text
    # a body of an unknown size as well
    status, _ = await mlflow.ask("POST", CREATE, data=stream(MIB), headers=headers)
    assert status == 413
    assert await mlflow.put(job_id, f"{fresh('folder')}/artifact", 1) == 200


@pytest.mark.skipif(not IS_ROOT, reason="needs a second user")
async def test_callers_without_a_token_have_limits_by_user(mlflow: Mlflow) -> None:
    folder = fresh("by-user")

    def put(name: str, uid: int) -> int:
        host, port = mlflow.uri.removeprefix("http://").split(":")
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


@pytest.mark.parametrize("damage", ["signature", "payload", "expired", "garbage"])
async def test_damaged_tokens_are_refused(mlflow: Mlflow, damage: str) -> None:
    token = mlflow.tokens.of_attempt("0a1b2c3d", 1, owner="ann", timeout_seconds=60)
    if damage == "signature":
        token = token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB")
    elif damage == "payload":
        other = mlflow.tokens.of_attempt("11111111", 1, owner="eve", timeout_seconds=60)
        token = ".".join((*other.split(".")[:2], token.split(".")[2]))
    elif damage == "expired":
        token = mlflow.tokens.of_attempt("0a1b2c3d", 1, owner="ann", timeout_seconds=-1e6)
    else:
        token = "asgard-attempt." + "é" * 10
    headers = {"Authorization": f"Bearer {token}"}
    status, text = await mlflow.ask("GET", f"{API}experiments/search", headers=headers)
    assert status == 401
    assert "MLFLOW_TRACKING_TOKEN" in json.loads(text)["message"]


# --- origins and hosts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:9999", "http://localhost:3000", "https://evil.example", "null"]
)
async def test_pages_of_other_origins_cannot_use_mlflow(mlflow: Mlflow, origin: str) -> None:
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
            async with session.request(method, mlflow.uri + path, headers=preflight) as response:
                names = [name for name in response.headers if name.startswith("Access-Control")]
                assert not names
                if method != "GET":
                    assert response.status == 403
    assert not (mlflow.store / "artifacts" / "planted").exists()


async def test_its_own_page_can_use_mlflow(mlflow: Mlflow) -> None:
    body = {"name": fresh("own page")}
    status, text = await mlflow.ask("POST", CREATE, json=body, headers={"Origin": mlflow.uri})
    assert status == 200, text


@pytest.mark.parametrize("host", ["10.evil.example", "192.168.evil.example:80", "evil", "", "[::1"])
async def test_rebound_host_names_are_refused(mlflow: Mlflow, host: str) -> None:
    """MLflow itself would accept the first two, as addresses of a private network."""
    path = f"{API}experiments/search?max_results=1"
    status, text = await mlflow.ask("GET", path, headers={"Host": host})
    assert (status, "not known as this host" in text) == (403, True), text


# --- features that are off -------------------------------------------------------------------


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
    mlflow: Mlflow, method: str, path: str
) -> None:
    status, text = await mlflow.ask(method, path, json={})
    assert status == 404, text
    assert "does not offer" in text


async def test_other_artifact_stores_are_not_accessed(mlflow: Mlflow) -> None:
    for location in ("s3://somebody/else", "gs://somebody/else", "http://127.0.0.1:1/x"):
        body: dict[str, Any] = {"name": fresh("led"), "artifact_location": location}
        status, text = await mlflow.ask("POST", CREATE, json=body)
        if status != 200:
            continue
        body = {"experiment_id": json.loads(text)["experiment_id"], "start_time": 1}
        _, text = await mlflow.ask("POST", f"{API}runs/create", json=body)
        run_id = json.loads(text)["run"]["info"]["run_id"]
        status, text = await mlflow.ask("GET", f"{API}artifacts/list?run_id={run_id}")
        assert status == 400
        assert "only its own artifact store" in text


# --- a killed server -------------------------------------------------------------------------


async def test_an_upload_of_a_killed_server_leaves_nothing(mlflow: Mlflow) -> None:
    """The last test: the server restarts."""
    folder = fresh("cut-off")
    directory = mlflow.store / "artifacts" / folder
    is_over = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(8 * MIB)
        await is_over.wait()

    upload = asyncio.create_task(
        mlflow.ask(
            "PUT", f"{ARTIFACTS}{folder}/x", data=endless(), headers=mlflow.token(fresh_job_id())
        )
    )
    await eventually(
        lambda: any(path.stat().st_size for path in directory.glob(f"{TEMPORARY_PREFIX}*")),
        what="a part is written",
    )
    os.kill(mlflow.pid, signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await upload
    is_over.set()
    # waits for the next server
    assert (await mlflow.ask("GET", "/health"))[0] == 200
    assert list(directory.iterdir()) == []
