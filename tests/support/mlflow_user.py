"""The MLflow calls of training scripts, over REST: importing mlflow takes seconds per test."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp

DEADLINE_SECONDS = 30.0


def fresh(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def fresh_job_id() -> str:
    return uuid.uuid4().hex[:8]


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.01)


class MlflowUser:
    """A user who creates and reads experiments, runs, models and versions."""

    def __init__(self, uri: str, session: aiohttp.ClientSession) -> None:
        self._uri = uri
        self._session = session

    async def call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        async with self._session.request(
            method, f"{self._uri}/api/2.0/mlflow/{path}", json=body, params=params
        ) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return answer

    async def experiment(self, name: str | None = None) -> str:
        answer = await self.call(
            "POST", "experiments/create", {"name": name or fresh("experiment")}
        )
        return str(answer["experiment_id"])

    async def run(
        self,
        experiment_id: str,
        *,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        status: str = "FINISHED",
        **tags: str,
    ) -> str:
        """Create a run with tags (`__` in a key stands for a dot); RUNNING unless it has an end."""
        body = {
            "experiment_id": experiment_id,
            "start_time": ms(started_at or datetime.now(UTC)),
            "tags": [
                {"key": key.replace("__", "."), "value": value} for key, value in tags.items()
            ],
        }
        run_id = str((await self.call("POST", "runs/create", body))["run"]["info"]["run_id"])
        if ended_at is not None:
            end = {"run_id": run_id, "status": status, "end_time": ms(ended_at)}
            await self.call("POST", "runs/update", end)
        return run_id

    async def run_info(self, run_id: str) -> dict[str, Any]:
        answer = await self.call("GET", "runs/get", run_id=run_id)
        info: dict[str, Any] = answer["run"]["info"]
        return info

    async def log_model(self, experiment_id: str, run_id: str, *, ready: bool = True) -> str:
        """Create a logged model of MLflow 3 without files; return its id."""
        body = {"experiment_id": experiment_id, "name": "model", "source_run_id": run_id}
        answer = await self.call("POST", "logged-models", body)
        model_id = str(answer["model"]["info"]["model_id"])
        if ready:
            end = {"model_id": model_id, "status": "LOGGED_MODEL_READY"}
            await self.call("PATCH", f"logged-models/{model_id}", end)
        return model_id

    async def put_artifact(self, experiment_id: str, run_id: str, path: str) -> None:
        url = (
            f"{self._uri}/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/"
            f"{path}"
        )
        async with self._session.put(url, data=b"content") as response:
            assert response.status == 200, await response.text()

    async def register(self, name: str, run_id: str, model_id: str) -> str:
        """Create a version as `log_model(registered_model_name=...)` does."""
        await self.call("POST", "registered-models/create", {"name": name})
        return await self.add_version(name, run_id, model_id)

    async def add_version(self, name: str, run_id: str, model_id: str) -> str:
        body = {
            "name": name,
            "source": f"models:/{model_id}",
            "model_id": model_id,
            "run_id": run_id,
        }
        answer = await self.call("POST", "model-versions/create", body)
        return str(answer["model_version"]["version"])

    async def versions(self, name: str) -> list[dict[str, Any]]:
        """All versions of a registered model, oldest first."""
        answer = await self.call("GET", "model-versions/search", filter=f"name = '{name}'")
        found: list[dict[str, Any]] = answer.get("model_versions", [])
        return sorted(found, key=lambda version: int(version["version"]))


async def all_of(*awaitables: Awaitable[Any]) -> list[Any]:
    return list(await asyncio.gather(*awaitables))
