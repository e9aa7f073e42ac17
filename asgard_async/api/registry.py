"""POST /mlops/registry: register a model version manually."""

from urllib.parse import quote

from aiohttp import web

from asgard_async.api.http.audit import audited_as
from asgard_async.api.http.path_prefix import path_prefix
from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, json_schema, response_schema
from asgard_async.api.schemas.models import ModelVersionSchema, RegistrationSchema
from asgard_async.api.schemas.problem import refusals
from asgard_async.mlflow.component import GATEWAY
from asgard_async.mlflow.models import view_version
from asgard_async.mlflow.registration import register_run


@audited_as("register")
@docs(
    operation_id="register",
    tags=["models"],
    summary="Register the model of a run",
    description="Create a model version from the newest model that the run logged.",
    responses=refusals(400, 404, 408, 413, 415, 422, 503),
)
@json_schema(RegistrationSchema)
@response_schema(
    ModelVersionSchema,
    201,
    description="The new version.",
    headers=["Location"],
    links={"get_one_model": "name"},
)
async def register(request: web.Request) -> web.Response:
    """Create a version of a registered model."""
    version = await register_run(request.app[GATEWAY], **request["json"])
    return reply(
        view_version(version),
        status=201,
        headers={"Location": f"{path_prefix()}/mlops/models/{quote(version.name, safe='')}"},
    )
