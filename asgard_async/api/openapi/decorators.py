"""aiohttp_apispec's decorators, with the types that they lack.

They say what a handler takes and answers; `validation_middleware` and the documentation read it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import aiohttp_apispec
from marshmallow import Schema

Handler = TypeVar("Handler", bound=Callable[..., Any])
AnySchema = Schema | type[Schema]


class Decorator(Protocol):
    """Gives back the very handler that it gets."""

    def __call__(self, handler: Handler, /) -> Handler: ...


def docs(*, operation_id: str, **options: Any) -> Decorator:
    """Describe a handler in OpenAPI's terms.

    Generated clients name their methods after `operation_id`, so it never follows a renamed
    handler.
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


def documented_body(schema: AnySchema) -> Decorator:
    """Like `json_schema`, for a handler that reads its body itself."""

    def decorate(handler: Handler, /) -> Handler:
        decorated: Any = aiohttp_apispec.json_schema(schema, required=True)(handler)
        # what validation_middleware reads; the documentation is made from __apispec__
        decorated.__schemas__ = [
            known for known in decorated.__schemas__ if known["location"] != "json"
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
) -> Decorator:
    """Describe the JSON that a handler answers with a status, and the headers beside it.

    The example is the schema's own: `Meta.example`. `links` are what can be done next: of each
    operation the parameter of its address, which is the member of that name.
    """

    def decorate(handler: Handler, /) -> Handler:
        decorated: Any = aiohttp_apispec.response_schema(schema, status, description=description)(
            handler
        )
        said = decorated.__apispec__["responses"][str(status)]
        said["headers"], said["links"] = headers, links
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
    """Describe a 200 that is text, or else bytes of the types `binary`, for
    `@docs(responses=…)`."""
    return {
        "200": {
            "content_type": content_type,
            "description": description,
            "example": example,
            "headers": headers,
            "binary": binary,
        }
    }
