"""Artifacts are refused while the disk is full; records are not."""

from pathlib import Path

import pytest

from asgard_async.mlflow.server.artifacts import Storage
from asgard_async.mlflow.server.asgi import Message, Receive, RequestRefused, Scope, Send
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

    async def send_to(self, storage: Storage, method: str, path: str) -> None:
        caller = Caller(job_id="0123abcd", expires_at=0)
        scope = {"type": "http", "method": method, "path": path, "headers": [], CALLER: caller}
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
