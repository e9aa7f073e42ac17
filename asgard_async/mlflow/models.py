"""Registered models as `GET /mlops/models` and `POST /mlops/registry` return them."""

from collections.abc import Sequence
from typing import TypedDict

from asgard_async.core.timestamps import rfc3339_of_ms
from asgard_async.domain.errors import TrackingNotFound, TrackingRejected, TrackingUnavailable
from asgard_async.mlflow import wire
from asgard_async.mlflow.gateway import MlflowGateway

PROMPT_TAG = "mlflow.prompt.is_prompt"
"""Marks a prompt, which MLflow stores as a registered model but leaves out of its lists."""


class ModelVersionView(TypedDict):
    """A version of a registered model."""

    name: str
    version: str
    stage: str
    run_id: str | None
    description: str
    tags: dict[str, str]
    created_at: str
    updated_at: str


class ModelVersionsView(TypedDict):
    """A page of the versions of a model, newest first."""

    versions: list[ModelVersionView]
    next_cursor: str | None


class RegisteredModelView(TypedDict):
    """A registered model with the newest version of each stage, newest first.

    Without stages, this is the newest version only.
    """

    name: str
    description: str
    tags: dict[str, str]
    aliases: dict[str, str]
    latest_versions: list[ModelVersionView]
    created_at: str
    updated_at: str


async def list_models(gateway: MlflowGateway) -> list[RegisteredModelView]:
    """Return all registered models, sorted by name.

    Raises:
        TrackingUnavailable: MLflow does not answer, or refuses to list the models.
    """
    try:
        return [view_model(model) for model in await gateway.registered_models()]
    except TrackingRejected as error:
        # the request contains nothing from the client, so the administrator must fix this
        raise TrackingUnavailable(f"MLflow refuses to list its models: {error}") from error


async def get_model(gateway: MlflowGateway, name: str) -> RegisteredModelView:
    """Return a registered model.

    Raises:
        TrackingNotFound: there is no model with that name.
    """
    model = await gateway.registered_model(name)
    if _dictionary(model.tags).get(PROMPT_TAG, "").lower() == "true":
        raise TrackingNotFound(f"{name} is a prompt, not a model.")
    return view_model(model)


async def list_versions(
    gateway: MlflowGateway, name: str, *, limit: int, cursor: str = ""
) -> ModelVersionsView:
    """Return a page of the versions of a registered model, newest first.

    Raises:
        TrackingNotFound: there is no model with that name.
    """
    model = await get_model(gateway, name)
    quote = next((quote for quote in ("'", '"') if quote not in name), None)
    if quote is None:  # no filter can express the name
        return {"versions": model["latest_versions"], "next_cursor": None}
    page = await gateway.model_versions(
        f"name = {quote}{name}{quote}", limit=limit, page_token=cursor
    )
    return {
        "versions": [view_version(version) for version in page.model_versions],
        "next_cursor": page.next_page_token or None,
    }


def view_model(model: wire.RegisteredModel) -> RegisteredModelView:
    """The public view of a registered model."""
    newest_first = sorted(
        model.latest_versions, key=lambda version: int(version.version), reverse=True
    )
    return {
        "name": model.name,
        "description": model.description,
        "tags": _dictionary(model.tags),
        "aliases": {alias.alias: alias.version for alias in model.aliases},
        "latest_versions": [view_version(version) for version in newest_first],
        "created_at": rfc3339_of_ms(model.creation_timestamp),
        "updated_at": rfc3339_of_ms(model.last_updated_timestamp),
    }


def view_version(version: wire.ModelVersion) -> ModelVersionView:
    """The public view of a model version."""
    return {
        "name": version.name,
        "version": version.version,
        "stage": version.current_stage,
        "run_id": version.run_id or None,
        "description": version.description,
        "tags": _dictionary(version.tags),
        "created_at": rfc3339_of_ms(version.creation_timestamp),
        "updated_at": rfc3339_of_ms(version.last_updated_timestamp),
    }


def _dictionary(tags: Sequence[wire.Tag]) -> dict[str, str]:
    return {tag.key: tag.value for tag in tags}
