"""Registered models."""

from collections.abc import AsyncGenerator, Mapping

from asgard_async.client.calls.connection import Connection
from asgard_async.client.models import ModelVersion, ModelVersionPage, RegisteredModel
from asgard_async.client.transport import Retry, json_body

PAGE = 500
"""The service's largest page size."""


class ModelCalls(Connection):
    """/mlops/models and /mlops/registry."""

    async def models(self) -> tuple[RegisteredModel, ...]:
        """Return the registered models, sorted by name.

        Raises:
            Unavailable: MLflow does not answer.
        """
        response = await self._transport.get("mlops", "models")
        return response.read(tuple[RegisteredModel, ...])

    async def model(self, name: str) -> RegisteredModel:
        """Return a registered model.

        Raises:
            NotFound: there is no model with that name.
        """
        return (await self._transport.get("mlops", "models", name)).read(RegisteredModel)

    async def model_versions(self, name: str) -> AsyncGenerator[ModelVersion, None]:
        """Yield all versions of a registered model, newest first, fetching pages as needed.

        Raises:
            NotFound: there is no model with that name.
        """
        cursor = None
        while True:
            response = await self._transport.get(
                "mlops", "models", name, "versions", cursor=cursor, limit=PAGE
            )
            page = response.read(ModelVersionPage)
            for version in page.versions:
                yield version
            cursor = page.next_cursor
            if cursor is None:
                return

    async def register(
        self,
        model_name: str,
        run_id: str,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Register the newest model that a run logged as a version of `model_name`.

        Not retried after a lost connection: the version may already exist.
        """
        document = {
            "model_name": model_name,
            "run_id": run_id,
            "description": description,
            "tags": dict(tags or {}),
        }
        response = await self._transport.request(
            "POST",
            ("mlops", "registry"),
            headers={"Content-Type": "application/json"},
            body=json_body(document),
            retry=Retry.IF_NOT_PROCESSED,
        )
        return response.read(ModelVersion)
