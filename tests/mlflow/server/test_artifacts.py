"""What counts as stored, and artifacts while the disk is full."""

from pathlib import Path

import pytest

from asgard_async.mlflow.server.artifacts import Storage
from asgard_async.mlflow.server.asgi import Message, Receive, Refused, Scope, Send
from asgard_async.mlflow.server.attempt_token import Caller
from asgard_async.mlflow.server.callers import CALLER
from asgard_async.mlflow.server.usage import Usage

ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/folder/file"
CREATE = "/api/2.0/mlflow/runs/create"
BLOCKS = 5


class Upload:
    """A request of a job, and an application behind `Storage` that reads all of its body."""

    def __init__(self) -> None:
        self.read = 0

    async def send_to(self, storage: Storage, method: str, path: str, query: bytes = b"") -> None:
        self.read = 0
        caller = Caller(job_id="0123abcd", expires_at=0)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [],
            CALLER: caller,
        }
        await storage(scope, self._receive, self._send)

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _receive(self) -> Message:
        self.read += 1
        return {"type": "http.request", "body": bytes(1000), "more_body": self.read < BLOCKS}

    async def _send(self, message: Message) -> None:
        assert message["status"] == 200


def storage_of(upload: Upload, directory: Path, *, min_free_bytes: int) -> Storage:
    usage = Usage(directory / "usage.db")
    return Storage(
        upload.application,
        usage=usage,
        max_bytes=0,
        directory=directory,
        min_free_bytes=min_free_bytes,
    )


@pytest.mark.parametrize(("method", "read"), [("PUT", 1), ("GET", 0)])
async def test_a_full_disk_takes_no_artifacts(tmp_path: Path, method: str, read: int) -> None:
    """Reading one may fill it as well: MLflow copies those of an object store to the disk."""
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=1 << 62)
    with pytest.raises(Refused, match="min_free_mb") as caught:
        await upload.send_to(storage, method, ARTIFACT)
    assert (caught.value.status, upload.read) == (507, read)
    await upload.send_to(storage, "POST", CREATE)
    assert upload.read == BLOCKS


async def test_a_disk_with_space_takes_artifacts(tmp_path: Path) -> None:
    upload = Upload()
    storage = storage_of(upload, tmp_path, min_free_bytes=1)
    await upload.send_to(storage, "PUT", ARTIFACT)
    assert upload.read == BLOCKS


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
