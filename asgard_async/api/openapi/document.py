"""The document: built from the decorations of the handlers, once, when it is first asked for."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from aiohttp import web
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from asgard_async import __version__
from asgard_async.api.http.authentication import OPEN_PREFIX
from asgard_async.api.http.problem import problem_of_refusal
from asgard_async.api.openapi import constraints
from asgard_async.api.openapi.info import HEADERS, INFO, SECURITY_SCHEMES, TAGS
from asgard_async.api.schemas.problem import refusals
from asgard_async.auth.errors import TokensUnreadable

VERSION = "3.1.0"
ALWAYS = "X-Request-ID"
"""A header of every response."""

Document = dict[str, Any]


class ApiDocument:
    """The OpenAPI document of a table of URLs.

    `configured` are schemas that stand in for those of their class: their rules follow the
    configuration.
    """

    def __init__(self, routes: Iterable[web.RouteDef], configured: Iterable[Schema] = ()) -> None:
        self._routes = list(routes)
        self._configured = {type(schema): schema for schema in configured}

    @cached_property
    def encoded(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self.build())

    def build(self) -> Document:
        """As a tree."""
        plugin = _Plugin(schema_name_resolver=_name_of)
        spec = APISpec("Asgard", __version__, VERSION, [plugin], info=INFO, tags=TAGS)
        for name, header in HEADERS.items():
            spec.components.header(name, header)
        for name, scheme in SECURITY_SCHEMES.items():
            spec.components.security_scheme(name, scheme)
        paths: dict[str, Document] = {}
        for route in self._routes:
            paths.setdefault(route.path, {})[route.method.lower()] = self._operation(route)
        for path, operations in paths.items():
            spec.path(path=path, operations=operations)
        document: Document = spec.to_dict()
        return document

    def _operation(self, route: web.RouteDef) -> Document:
        handler: Any = route.handler
        said: Mapping[str, Any] = handler.__apispec__
        guarded = not route.path.startswith(OPEN_PREFIX)
        operation: Document = {
            "operationId": said["operationId"],
            "tags": said["tags"],
            "summary": said["summary"],
            "parameters": [dict(parameter) for parameter in said["parameters"]],
            "responses": {
                status: self._response(response)
                for status, response in sorted(
                    {
                        **(_at_the_door() if guarded else {}),
                        **said["responses"],
                        **refusals(500),
                    }.items()
                )
            },
        }
        if guarded:
            # the first, empty one: no token is needed where there has never been one
            operation["security"] = [{}, *({name: []} for name in SECURITY_SCHEMES)]
        if "description" in said:
            operation["description"] = said["description"]
        for taken in said["schemas"]:
            if taken["location"] == "querystring":
                operation["parameters"].append({"in": "query", "schema": taken["schema"]})
            else:
                content = self._content(taken["schema"], "application/json")
                if "form" in said:
                    content |= self._content(said["form"], "multipart/form-data")
                operation["requestBody"] = {"required": True, "content": content}
        return operation

    def _response(self, said: Mapping[str, Any]) -> Document:
        response: Document = {
            "description": said["description"],
            "headers": _headers(said.get("headers", ())),
        }
        if said.get("links"):
            response["links"] = {
                operation: {
                    "operationId": operation,
                    "parameters": {parameter: f"$response.body#/{parameter}"},
                }
                for operation, parameter in said["links"].items()
            }
        if "schema" in said:
            content_type = said.get("content_type", "application/json")
            response["content"] = self._content(said["schema"], content_type, said.get("example"))
        elif "content_type" in said:
            text = {"schema": {"type": "string"}, "example": said["example"]}
            binary: Document = {content_type: {} for content_type in said.get("binary", ())}
            response["content"] = {said["content_type"]: text, **binary}
        return response

    def _content(self, schema: Schema, content_type: str, example: object = None) -> Document:
        if example is None:
            example = schema.Meta.example  # type: ignore[attr-defined]  # ours, not marshmallow's
            example = [example] if schema.many else example
        known = self._configured.get(type(schema), schema)
        return {content_type: {"schema": known, "example": example}}


class _Plugin(MarshmallowPlugin):
    """apispec's, which has learned our fields."""

    def init_spec(self, spec: APISpec) -> None:
        super().init_spec(spec)
        constraints.teach(self.converter)


def _at_the_door() -> Document:
    """What every guarded operation may answer before its handler is asked."""
    closed = problem_of_refusal(TokensUnreadable())
    return refusals(400, 401, 403, 415, 429) | refusals(503, example=closed)


def _headers(names: Sequence[str]) -> Document:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (ALWAYS, *names)}


def _name_of(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


API_DOCUMENT = web.AppKey("api_document", ApiDocument)
