"""Limits on artifacts, records and creations, for jobs and for callers without a token."""

from pathlib import Path

import pytest

from asgard_async.mlflow.server import artifacts
from asgard_async.mlflow.server.artifacts import Storage
from asgard_async.mlflow.server.asgi import Message, Receive, RequestRefused, Scope, Send
from asgard_async.mlflow.server.attempt_token import Caller
from asgard_async.mlflow.server.callers import CALLER
from asgard_async.mlflow.server.usage import Usage

ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/folder/file"
CREATE = "/api/2.0/mlflow/runs/create"
BLOCKS, BLOCK_BYTES = 5, 1000
JOB = Caller(job_id="0123abcd", expires_at=0)


class Upload:
    """A caller's request, and an application behind `Storage` that reads all of its body."""

    def __init__(self, caller: Caller | None = JOB) -> None:
        self._caller = caller
        self.read = 0

    async def send_to(self, storage: Storage, method: str, path: str, query: bytes = b"") -> None:
        self.read = 0
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [],
            CALLER: self._caller,
        }
        await storage(scope, self._receive, self._send)

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _receive(self) -> Message:
        self.read += 1
        return {"type": "http.request", "body": bytes(BLOCK_BYTES), "more_body": self.read < BLOCKS}

    async def _send(self, message: Message) -> None:
        assert message["status"] == 200


def storage_of(upload: Upload, directory: Path, *, min_free_bytes: int = 0) -> Storage:
    return Storage(
        upload.application,
        usage=Usage(directory / "usage.db"),
        max_bytes=0,
        directory=directory,
        min_free_bytes=min_free_bytes,
    )


@pytest.mark.parametrize(("method", "read"), [("PUT", 1), ("GET", 0)])
async def test_a_full_disk_refuses_artifacts(tmp_path: Path, method: str, read: int) -> None:
    """Reading one may fill it as well: MLflow copies those of an object store to the disk."""
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=1 << 62)
    with pytest.raises(RequestRefused, match="min_free_mb") as caught:
        await upload.send_to(storage, method, ARTIFACT)
    assert (caught.value.status, upload.read) == (507, read)
    await upload.send_to(storage, "POST", CREATE)
    assert upload.read == BLOCKS


async def test_a_disk_with_space_accepts_artifacts(tmp_path: Path) -> None:
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=1)
    await upload.send_to(storage, "PUT", ARTIFACT)
    assert upload.read == BLOCKS


@pytest.mark.parametrize("caller", [JOB, None], ids=["job", "anonymous"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/runs/create",
        "/ajax-api/2.0/mlflow/runs/create",
        "/api/2.0/mlflow/experiments/create",
        "/api/2.0/mlflow/logged-models",
        "/api/2.0/mlflow/registered-models/create",
        "/api/2.0/mlflow/model-versions/create",
        "/api/2.0/mlflow/traces",
        "/api/3.0/mlflow/traces",
        "/api/3.0/mlflow/traces/",
        "/api/3.0/mlflow/datasets/create",
    ],
)
async def test_creations_have_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caller: Caller | None, path: str
) -> None:
    most = {JOB: 2, None: 3}[caller]
    monkeypatch.setattr(artifacts, "MAX_CREATED", 2)
    monkeypatch.setattr(artifacts, "MAX_CREATED_ANONYMOUSLY", 3)
    upload = Upload(caller)
    storage = storage_of(upload, tmp_path)
    for _ in range(most):
        await upload.send_to(storage, "POST", path)
    with pytest.raises(RequestRefused, match=f"created {most} runs.*; use fewer") as caught:
        await upload.send_to(storage, "POST", path)
    assert (caught.value.status, upload.read) == (400, 0)
    await upload.send_to(storage, "POST", "/api/2.0/mlflow/runs/log-batch")


@pytest.mark.parametrize("caller", [JOB, None], ids=["job", "anonymous"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/runs/log-batch"),
        ("PATCH", "/api/2.0/mlflow/traces/a-name-of-a-search"),
        ("PATCH", "/api/2.0/mlflow/traces/search"),
        ("POST", "/api/3.0/mlflow/review-queues/get-or-create-user"),
        ("POST", "/v1/traces"),
    ],
)
async def test_records_have_a_bound(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caller: Caller | None,
    method: str,
    path: str,
) -> None:
    monkeypatch.setattr(artifacts, "MAX_RECORD_BYTES", 2 * BLOCKS * BLOCK_BYTES - 1)
    upload = Upload(caller)
    storage = storage_of(upload, tmp_path)
    await upload.send_to(storage, method, path)
    with pytest.raises(RequestRefused, match="log less often") as caught:
        await upload.send_to(storage, method, path)
    assert (caught.value.status, upload.read) == (413, BLOCKS)
    for reads in ("runs/search", "registered-models/get-latest-versions"):
        await upload.send_to(storage, "POST", f"/api/2.0/mlflow/{reads}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        # the id of a trace is its creator's choice
        ("PATCH", "/api/3.0/mlflow/traces/get-1/tags"),
        ("PATCH", "/api/2.0/mlflow/traces/search"),
        ("POST", "/api/3.0/mlflow/traces/get-1/assessments"),
        ("PATCH", "/ajax-api/3.0/mlflow/traces/x/assessments/search"),
        ("POST", "/api/3.0/mlflow/review-queues/get-or-create-user"),
    ],
)
async def test_writes_that_look_like_searches_count(tmp_path: Path, method: str, path: str) -> None:
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=0)
    await upload.send_to(storage, method, path)
    assert storage._usage.record_bytes("0123abcd") == BLOCKS * 1000


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/runs/search",
        "/api/2.0/mlflow/registered-models/get-latest-versions",
        "/ajax-api/2.0/mlflow/experiments/search-datasets",
        "/ajax-api/3.0/mlflow/traces/search",
    ],
)
async def test_searches_do_not_count(tmp_path: Path, path: str) -> None:
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=0)
    await upload.send_to(storage, "POST", path)
    assert storage._usage.record_bytes("0123abcd") == 0


@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/2.0/mlflow/runs/create-promptlab-run",
        "/api/3.0/mlflow/scorers/register",
        "/api/3.0/mlflow/label-schemas/create",
        "/api/3.0/mlflow/review-queues/create",
        "/api/3.0/mlflow/review-queues/get-or-create-user",
        "/api/3.0/mlflow/issues",
        "/api/3.0/mlflow/workspaces",
    ],
)
async def test_all_that_can_be_created_is_counted(tmp_path: Path, path: str) -> None:
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=0)
    await upload.send_to(storage, "POST", path)
    assert storage._usage.created("0123abcd") == 1


async def test_one_artifact_counts_once_whatever_its_query(tmp_path: Path) -> None:
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=0)
    for more in (b"", b"&x=" + b"x" * 1000, b"&path=other"):
        query = b"run_uuid=r&path=a" + more
        await upload.send_to(storage, "POST", "/ajax-api/2.0/mlflow/upload-artifact", query)
    ((path, size),) = storage._usage._database.execute("SELECT path, bytes FROM artifacts")
    assert (path, size) == ("?run_uuid=r&path=a", BLOCKS * 1000)
