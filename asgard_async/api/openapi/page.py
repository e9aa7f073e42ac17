"""GET /openapi.json."""

from aiohttp import web

from asgard_async.api.openapi.decorators import docs, response_schema
from asgard_async.api.openapi.document import API_DOCUMENT
from asgard_async.api.schemas.openapi import OpenApiSchema


@docs(
    operation_id="get_document",
    tags=["service"],
    summary="Describe the API",
    description="This document, in OpenAPI 3.1. For people it is shown at /docs.",
)
@response_schema(OpenApiSchema, 200, description="The document.")
async def get_document(request: web.Request) -> web.Response:
    """The document."""
    return web.Response(
        body=request.app[API_DOCUMENT].encoded,
        content_type="application/json",
        headers={"Cache-Control": "no-cache"},
    )
