"""The embedded MLflow of a service with tokens, as the jobs and tokens of two owners see it."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from asgard_async.auth.token import Scope
from asgard_async.auth.token_file import TokenFile
from asgard_async.mlflow.attempt_tokens import AttemptTokens
from tests.support.eventually import eventually
from tests.support.mlflow_api import MlflowApi
from tests.support.service import QUICK_TO_WARM, Service, running_service

REGISTERS_LATE = {"ASGARD_TRACKING__SETTLE_SECONDS": "60"}
"""On a busy machine, MLflow may answer late; the job waits for its model."""
NAMES = {
    "ann": Scope.SUBMIT,
    "bob": Scope.SUBMIT,
    "boss": Scope.ADMIN,
    "reader": Scope.READ,
}


@dataclasses.dataclass(kw_only=True)
class GuardedMlflow:
    """A service with one token for each name, and the address of its MLflow."""

    service: Service
    uri: str
    secrets: Mapping[str, str]
    session: aiohttp.ClientSession

    def attempt(self, owner: str, job_id: str = "") -> str:
        """Return the token of an attempt of a job; each owner has one job by default."""
        tokens = AttemptTokens.open(self.service.data_dir / "mlflow-server")
        job_id = job_id or owner.encode().hex().ljust(8, "0")[:8]
        return tokens.of_attempt(job_id, 1, owner=owner, timeout_seconds=600)

    def api(self, token: str | None) -> MlflowApi:
        """Return MLflow's API as the holder of a token uses it."""
        return MlflowApi(self.uri, self.session, token=token)

    async def ask(
        self, method: str, path: str, token: str | None, **options: Any
    ) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers |= options.pop("headers", {})
        url = self.uri + path
        async with self.session.request(method, url, headers=headers, **options) as response:
            return response.status, await response.text(errors="replace")

    async def accepts(self, token: str) -> None:
        """Wait until MLflow knows a token."""

        async def is_known() -> bool:
            status, _ = await self.ask("GET", "/version", token)
            return status == 200

        await eventually(is_known, what="MLflow accepts the token")


def create_tokens(data_dir: Path, names: Mapping[str, Scope] = NAMES) -> dict[str, str]:
    """Create tokens in a data directory; return their secrets."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = TokenFile(data_dir / "tokens.json")
    return {
        name: file.create(name=name, scope=scope, at=datetime.now(UTC)).secret
        for name, scope in names.items()
    }


@contextlib.asynccontextmanager
async def guarded_mlflow(
    data_dir: Path, settings: Mapping[str, str] = {}
) -> AsyncIterator[GuardedMlflow]:
    """Start a service with tokens, and wait until its MLflow knows them."""
    secrets = create_tokens(data_dir)
    headers = {"Authorization": f"Bearer {secrets['boss']}"}
    async with (
        running_service(data_dir, {**QUICK_TO_WARM, **REGISTERS_LATE, **settings}) as service,
        # requests that MLflow fails to read may end their connection
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        service.headers.update(headers)
        uri = await service.mlflow_uri()
        mlflow = GuardedMlflow(service=service, uri=uri, secrets=secrets, session=session)
        await mlflow.accepts(secrets["boss"])
        yield mlflow
