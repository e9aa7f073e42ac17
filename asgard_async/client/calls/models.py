"""Registered models."""

from collections.abc import Mapping

from asgard_async.client.calls.connection import Connection
from asgard_async.client.models import ModelVersion, RegisteredModel
from asgard_async.client.transport import Repeat, json_body


class ModelCalls(Connection):
    """/mlops/models and /mlops/registry."""

    async def models(self) -> tuple[RegisteredModel, ...]:
        """The registered models, by name.

        Raises:
            Unavailable: MLflow does not answer.
        """
        answer = await self._transport.get("mlops", "models")
        return answer.read(tuple[RegisteredModel, ...])

    async def model(self, name: str) -> RegisteredModel:
        """One registered model.

        Raises:
            NotFound: there is none of that name.
        """
        return (await self._transport.get("mlops", "models", name)).read(RegisteredModel)

    async def register(
        self,
        model_name: str,
        run_id: str,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Make a version of a registered model of the newest model that a run logged.

        Not tried again when the connection breaks in the middle: the version may exist already.
        """
        document = {
            "model_name": model_name,
            "run_id": run_id,
            "description": description,
            "tags": dict(tags or {}),
        }
        answer = await self._transport.request(
            "POST",
            ("mlops", "registry"),
            headers={"Content-Type": "application/json"},
            body=json_body(document),
            repeat=Repeat.UNDONE,
        )
        return answer.read(ModelVersion)
