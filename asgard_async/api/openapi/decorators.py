"""aiohttp_apispec's decorators, with type annotations.

They declare the parameters and responses of a handler, for `validation_middleware` and for the
OpenAPI document.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import aiohttp_apispec
from marshmallow import Schema

Handler = TypeVar("Handler", bound=Callable[..., Any])
AnySchema = Schema | type[Schema]


class Decorator(Protocol):
    """A decorator that returns the handler itself."""

    def __call__(self, handler: Handler, /) -> Handler: ...


def docs(*, operation_id: str, **options: Any) -> Decorator:
    """Describe a handler in OpenAPI's terms.

    Generated clients name their methods after `operation_id`, so it must not change when a
    handler is renamed.
    """
    decorator: Decorator = aiohttp_apispec.docs(operationId=operation_id, **options)
    return decorator


def querystring_schema(schema: AnySchema) -> Decorator:
    """Load the query into `request["querystring"]`."""
    decorator: Decorator = aiohttp_apispec.querystring_schema(schema)
    return decorator


def json_schema(schema: AnySchema) -> Decorator:
    """Load the body into `request["json"]`."""
    decorator: Decorator = aiohttp_apispec.json_schema(schema, required=True)
    return decorator


def documented_body(schema: AnySchema, *, required: bool = True) -> Decorator:
    """Document a body that the handler reads itself."""

    def decorate(handler: Handler, /) -> Handler:
        decorated: Any = aiohttp_apispec.json_schema(schema, required=required)(handler)
        # validation_middleware reads __schemas__, the OpenAPI document __apispec__
        decorated.__schemas__ = [
            schema for schema in decorated.__schemas__ if schema["location"] != "json"
        ]
        return handler

    return decorate


def response_schema(
    schema: AnySchema,
    status: int,
    *,
    description: str,
    headers: Sequence[str] = (),
    links: Mapping[str, str] = {},
    binary: Sequence[str] = (),
) -> Decorator:
    """Document the JSON response with a status, its headers, and its alternative content types.

    The example is the schema's `Meta.example`. `links` maps possible next operations to the path
    parameter that each takes, which is also the member of the response with its value.
    """

    def decorate(handler: Handler, /) -> Handler:
        decorated: Any = aiohttp_apispec.response_schema(schema, status, description=description)(
            handler
        )
        response = decorated.__apispec__["responses"][str(status)]
        response["headers"], response["links"], response["binary"] = headers, links, binary
        return handler

    return decorate


def text_response(
    content_type: str,
    *,
    description: str,
    example: str,
    headers: Sequence[str] = (),
    binary: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Document a 200 response of text, for `@docs(responses=…)`.

    `binary` lists alternative content types of the response.
    """
    return {
        "200": {
            "content_type": content_type,
            "description": description,
            "example": example,
            "headers": headers,
            "binary": binary,
        }
    }


def binary_response(
    status: int, *content_types: str, description: str, headers: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Document a response of bytes, for `@docs(responses=…)`."""
    return {str(status): {"description": description, "headers": headers, "binary": content_types}}
