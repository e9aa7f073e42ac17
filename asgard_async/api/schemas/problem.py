"""What the documentation of several handlers has in common."""

from http import HTTPStatus
from typing import Any

from marshmallow import Schema, fields


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
