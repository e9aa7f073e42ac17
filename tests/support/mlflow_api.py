"""A client of MLflow's REST API."""

from typing import Any

import aiohttp


class MlflowApi:
    """Calls that must succeed and return JSON."""

    def __init__(
        self, uri: str, session: aiohttp.ClientSession, *, token: str | None = None
    ) -> None:
        self.uri = uri
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._session = session

    async def health(self) -> str:
        async with self._session.get(f"{self.uri}/health") as response:
            assert response.status == 200
            return await response.text()

    async def get(self, endpoint: str, **params: str) -> Any:
        return await self._call("GET", endpoint, params=params)

    async def post(self, endpoint: str, **body: Any) -> Any:
        return await self._call("POST", endpoint, json=body)

    async def _call(self, method: str, endpoint: str, **kwargs: Any) -> Any:
        url = f"{self.uri}/api/2.0/mlflow/{endpoint}"
        async with self._session.request(method, url, headers=self._headers, **kwargs) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def run(self, run_id: str) -> Any:
        return (await self.get("runs/get", run_id=run_id))["run"]


def named(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Convert MLflow's lists of keys and values to a dict."""
    return {entry["key"]: entry["value"] for entry in entries}
