"""The embedded MLflow of a real service, as attackers see it."""

import contextlib
import io
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from asgard_async.mlflow.attempt_tokens import AttemptTokens
from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, Service

MIB = 1 << 20
LIMIT_MB = 50
"""The limit of what a job may store."""
MAX_BODY = MIB
API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
CREATE = API + "experiments/create"
SETTINGS = {
    **QUICK_TO_WARM,
    "ASGARD_TRACKING__REFRESH_SECONDS": "1",
    "ASGARD_LIMITS__JOB_DIR_MB": str(LIMIT_MB),
    "ASGARD_MLFLOW__MAX_BODY_BYTES": str(MAX_BODY),
}


class AttackedMlflow:
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
        """Record usage for a job that MLflow does not know yet."""
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


def chunks(size: int) -> Iterator[bytes]:
    block = b"x" * MIB
    for _ in range(size // MIB):
        yield block


async def stream(size: int) -> AsyncIterator[bytes]:
    for block in chunks(size):
        yield block
