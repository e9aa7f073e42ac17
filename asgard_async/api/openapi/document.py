"""The OpenAPI document, built from the decorators of the handlers on first request."""

import re
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
    """The OpenAPI document of a list of routes.

    `configured` lists schemas whose rules depend on the configuration; each replaces the schema of
    its class.
    """

    def __init__(self, routes: Iterable[web.RouteDef], configured: Iterable[Schema] = ()) -> None:
        self._routes = list(routes)
        self._configured = {type(schema): schema for schema in configured}

    @cached_property
    def encoded(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.build())

    def encoded_below(self, prefix: str) -> bytes:
        """The document as JSON for clients that reach the API below a path prefix, if any."""
        if not prefix:
            return self.encoded
        document: Document = msgspec.json.decode(self.encoded)
        return msgspec.json.encode(document | {"servers": [{"url": prefix}]})

    def build(self) -> Document:
        """Build the document."""
        plugin = _Plugin(schema_name_resolver=_name_of)
        spec = APISpec("Asgard", __version__, VERSION, [plugin], info=INFO, tags=TAGS)
        for name, header in HEADERS.items():
            spec.components.header(name, header)
        for name, scheme in SECURITY_SCHEMES.items():
            spec.components.security_scheme(name, scheme)
        paths: dict[str, Document] = {}
        for route in self._routes:
            paths.setdefault(template_of(route.path), {})[route.method.lower()] = self._operation(
                route
            )
        for path, operations in paths.items():
            spec.path(path=path, operations=operations)
        document: Document = spec.to_dict()
        return document

    def _operation(self, route: web.RouteDef) -> Document:
        handler: Any = route.handler
        declared: Mapping[str, Any] = handler.__apispec__
        guarded = not route.path.startswith(OPEN_PREFIX)
        operation: Document = {
            "operationId": declared["operationId"],
            "tags": declared["tags"],
            "summary": declared["summary"],
            "parameters": [dict(parameter) for parameter in declared["parameters"]],
            "responses": {
                status: self._response(response)
                for status, response in sorted(
                    {
                        **(_authentication_responses() if guarded else {}),
                        **declared["responses"],
                        **refusals(500),
                    }.items()
                )
            },
        }
        if guarded:
            # the empty first requirement: no token is needed until a token is created
            operation["security"] = [{}, *({name: []} for name in SECURITY_SCHEMES)]
        if "description" in declared:
            operation["description"] = declared["description"]
        for body in declared["schemas"]:
            if body["location"] == "querystring":
                operation["parameters"].append({"in": "query", "schema": body["schema"]})
            else:
                content = self._content(body["schema"], "application/json")
                if "form" in declared:
                    content |= self._content(declared["form"], "multipart/form-data")
                required = body["options"]["required"]
                operation["requestBody"] = {"required": required, "content": content}
        return operation

    def _response(self, declared: Mapping[str, Any]) -> Document:
        response: Document = {
            "description": declared["description"],
            "headers": _headers(declared.get("headers", ())),
        }
        if declared.get("links"):
            response["links"] = {
                operation: {
                    "operationId": operation,
                    "parameters": {parameter: f"$response.body#/{parameter}"},
                }
                for operation, parameter in declared["links"].items()
            }
        content: Document = {}
        if "schema" in declared:
            content_type = declared.get("content_type", "application/json")
            content = self._content(declared["schema"], content_type, declared.get("example"))
        elif "content_type" in declared:
            text = {"schema": {"type": "string"}, "example": declared["example"]}
            content = {declared["content_type"]: text}
        content |= {content_type: {} for content_type in declared.get("binary", ())}
        if content:
            response["content"] = content
        return response

    def _content(self, schema: Schema, content_type: str, example: object = None) -> Document:
        if example is None:
            example = schema.Meta.example  # type: ignore[attr-defined]  # set by our schemas
            example = [example] if schema.many else example
        schema = self._configured.get(type(schema), schema)
        return {content_type: {"schema": schema, "example": example}}


def template_of(path: str) -> str:
    """Return the path of a route without the patterns of its parameters."""
    return re.sub(r"\{(\w+):[^{}]+\}", r"{\1}", path)


class _Plugin(MarshmallowPlugin):
    """apispec's plugin, extended to support the fields of this API."""

    def init_spec(self, spec: APISpec) -> None:
        super().init_spec(spec)
        constraints.teach(self.converter)


def _authentication_responses() -> Document:
    """Return the error responses of every guarded operation, sent before its handler is called."""
    unreadable = problem_of_refusal(TokensUnreadable())
    return refusals(400, 401, 403, 415, 429) | refusals(503, example=unreadable)


def _headers(names: Sequence[str]) -> Document:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (ALWAYS, *names)}


def _name_of(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


API_DOCUMENT = web.AppKey("api_document", ApiDocument)
