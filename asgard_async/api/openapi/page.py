"""GET /openapi.json: the OpenAPI document."""

from aiohttp import web

from asgard_async.api.http.path_prefix import path_prefix
from asgard_async.api.openapi.decorators import docs, response_schema
from asgard_async.api.openapi.document import API_DOCUMENT
from asgard_async.api.schemas.openapi import OpenApiSchema


@docs(
    operation_id="get_document",
    tags=["service"],
    summary="Get the OpenAPI document",
    description="This document, in OpenAPI 3.1. /docs shows it in a browser.",
)
@response_schema(OpenApiSchema, 200, description="The document.")
async def get_document(request: web.Request) -> web.Response:
    """Return the document."""
    return web.Response(
        body=request.app[API_DOCUMENT].encoded_below(path_prefix()),
        content_type="application/json",
        headers={"Cache-Control": "no-cache"},
    )
