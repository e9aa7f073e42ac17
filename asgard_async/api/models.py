"""GET /mlops/models: the models in MLflow's registry."""

from aiohttp import web

from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, querystring_schema, response_schema
from asgard_async.api.schemas.models import (
    ModelVersionListSchema,
    ModelVersionsQuery,
    RegisteredModelSchema,
)
from asgard_async.api.schemas.problem import refusals
from asgard_async.api.schemas.submission_rules import model_name
from asgard_async.domain.errors import TrackingNotFound
from asgard_async.mlflow.component import GATEWAY
from asgard_async.mlflow.models import get_model, list_models, list_versions


@docs(
    operation_id="get_models",
    tags=["models"],
    summary="List registered models",
    responses=refusals(422, 503),
)
@response_schema(RegisteredModelSchema(many=True), 200, description="All models, sorted by name.")
async def get_models(request: web.Request) -> web.Response:
    """Return all registered models."""
    return reply(await list_models(request.app[GATEWAY]))


MODEL_NAME = {
    "in": "path",
    "name": "name",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "example": "churn",
}


@docs(
    operation_id="get_one_model",
    tags=["models"],
    summary="Get a registered model",
    parameters=[MODEL_NAME],
    responses=refusals(404, 422, 503),
)
@response_schema(RegisteredModelSchema, 200, description="The model.")
async def get_one_model(request: web.Request) -> web.Response:
    """Return a registered model."""
    return reply(await get_model(request.app[GATEWAY], _name_in(request)))


@docs(
    operation_id="get_model_versions",
    tags=["models"],
    summary="List the versions of a model, newest first",
    description="To get the next page, pass next_cursor as cursor.",
    parameters=[MODEL_NAME],
    responses=refusals(404, 422, 503),
)
@querystring_schema(ModelVersionsQuery)
@response_schema(ModelVersionListSchema, 200, description="A page of versions.")
async def get_model_versions(request: web.Request) -> web.Response:
    """Return a page of the versions of a registered model."""
    query, name = request["querystring"], _name_in(request)
    return reply(await list_versions(request.app[GATEWAY], name, **query))


def _name_in(request: web.Request) -> str:
    name = request.match_info["name"]
    if model_name(name):  # MLflow rejects the name, so no model can have it
        raise TrackingNotFound("No model can have this name; GET /mlops/models lists the models.")
    return name
