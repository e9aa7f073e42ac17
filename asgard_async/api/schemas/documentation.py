"""Help for decorating handlers, so that each says completely what it takes and answers."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp_apispec import json_schema
from marshmallow import Schema, fields

Handler = TypeVar("Handler", bound=Callable[..., Any])


class ProblemSchema(Schema):
    """RFC 9457."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "Messages by field; with 422."},
    )
    request_id = fields.String(required=True)


def refusals(*statuses: int) -> dict[str, dict[str, Any]]:
    """The error responses of a handler, for `@docs(responses=…)`."""
    return {
        str(status): {"schema": ProblemSchema(), "description": HTTPStatus(status).phrase}
        for status in statuses
    }


JOB_ID = {
    "in": "path",
    "name": "job_id",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
    "description": "8 lower-case hexadecimal digits.",
}


def documented_body(schema: type[Schema], **options: Any) -> Callable[[Handler], Handler]:
    """Like `json_schema`, for a handler that reads its body itself."""

    def decorate(handler: Handler) -> Handler:
        decorated: Any = json_schema(schema, **options)(handler)
        # what validation_middleware looks at; the documentation stands in __apispec__
        decorated.__schemas__ = [
            known for known in decorated.__schemas__ if known["location"] != "json"
        ]
        return handler

    return decorate
