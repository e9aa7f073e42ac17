"""Watches a service under test: what it answers must stand in its OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from asgard_async.api.openapi.document import ApiDocument
from asgard_async.api.routes import ROUTES

PATHS: dict[str, Any] = ApiDocument(ROUTES).build()["paths"]


@asynccontextmanager
async def only_documented(app: web.Application) -> AsyncIterator[None]:
    """Every test of the API is a test of the document, too: fails at the end, naming what lacks."""
    surprises: set[str] = set()

    async def look(request: web.Request, response: web.StreamResponse) -> None:
        surprises.update(surprises_in(request, response))

    app.on_response_prepare.append(look)
    yield
    assert surprises == set()


def surprises_in(request: web.Request, response: web.StreamResponse) -> set[str]:
    """What of a response is not documented, a line each."""
    resource = request.match_info.route.resource
    operations = PATHS.get(resource.canonical, {}) if resource else {}
    method = "get" if request.method == "HEAD" else request.method.lower()
    if method not in operations:  # no such address or method, or a page for people
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
