"""A check that all responses of a service under test match its OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from asgard_async.api.openapi.document import ApiDocument
from asgard_async.api.routes import ROUTES

PATHS: dict[str, Any] = ApiDocument(ROUTES).build()["paths"]


@asynccontextmanager
async def only_documented(app: web.Application) -> AsyncIterator[None]:
    """Record responses; fail at the end with those that the OpenAPI document lacks."""
    surprises: set[str] = set()

    async def look(request: web.Request, response: web.StreamResponse) -> None:
        surprises.update(surprises_in(request, response))

    app.on_response_prepare.append(look)
    yield
    assert surprises == set()


def surprises_in(request: web.Request, response: web.StreamResponse) -> set[str]:
    """Undocumented parts of a response, one line each."""
    resource = request.match_info.route.resource
    operations = PATHS.get(resource.canonical, {}) if resource else {}
    method = "get" if request.method == "HEAD" else request.method.lower()
    if method not in operations:  # no such path or method, or an HTML page
        return set()
    name = f"{method.upper()} {resource.canonical if resource else ''} {response.status}"
    responses = operations[method]["responses"]
    if str(response.status) not in responses:
        return {name}
    documented = responses[str(response.status)]
    content = documented.get("content", {})
    found = set()
    if (response.content_type in content) != bool(content):
        found.add(f"{name} as {response.content_type}")
    for header in documented["headers"]:
        if header not in response.headers:
            found.add(f"{name} without {header}")
    return found
