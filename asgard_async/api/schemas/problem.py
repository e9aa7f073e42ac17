"""Documentation shared by several handlers: error responses and the job id."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from marshmallow import Schema, fields

from asgard_async.api import errors as api_errors
from asgard_async.api.http.problem import (
    CONTENT_TYPE,
    INTERNAL_ERROR,
    Problem,
    problem_of_http,
    problem_of_refusal,
)
from asgard_async.api.schemas.status import identity_fields
from asgard_async.auth.errors import NotAuthenticated, ScopeTooSmall
from asgard_async.auth.token import Scope
from asgard_async.domain import errors

EXAMPLE_JOB = "3f9c01ab"
EXAMPLE_REQUEST = "ce6de29b219a4172"


class ProblemSchema(Schema):
    """A problem document (RFC 9457)."""

    type = fields.String(
        required=True, metadata={"description": "A URN that identifies the type of problem."}
    )
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(
        required=True, metadata={"description": "What went wrong and what to do."}
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "Messages by field, with 422."},
    )
    request_id = fields.String(required=True)


class NotReadySchema(ProblemSchema):
    """The reasons why the service accepts no jobs."""

    reasons = fields.List(fields.String(), required=True)
    instance, data_dir = identity_fields()


EXAMPLES: Mapping[int, Problem] = {
    500: INTERNAL_ERROR,
    416: problem_of_http(web.HTTPRequestRangeNotSatisfiable()),
    **{
        problem.status: problem
        for problem in map(
            problem_of_refusal,
            (
                api_errors.MalformedBody("The body is empty; send a JSON object."),
                NotAuthenticated(wrong=False),
                ScopeTooSmall("dashboard", has=Scope.READ, needs=Scope.SUBMIT),
                errors.JobNotFound(EXAMPLE_JOB),
                api_errors.BodyTooSlow(60),
                errors.JobNotFinished(EXAMPLE_JOB),
                errors.FilesNotKept(EXAMPLE_JOB, "were deleted by [retention] on 2026-11-23"),
                api_errors.BodyTooLarge(4194304),
                api_errors.UnsupportedMediaType(
                    "Send the body as JSON, with Content-Type: application/json."
                ),
                api_errors.InvalidRequest({"name of the field": ["The reason why it is invalid."]}),
                api_errors.UpgradeRequired(),
                errors.QueueFull(10000),
                errors.ServiceDraining(),
                errors.NotIsolated("Jobs cannot be isolated as configured: …."),
                errors.DiskShort(),
            ),
        )
    },
}
"""Examples by status, created by the same code as real problems."""


_HEADERS = {
    416: ["Content-Range"],
    401: ["WWW-Authenticate"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}


def refusals(
    *statuses: int, schema: type[Schema] = ProblemSchema, example: Problem | None = None
) -> dict[str, dict[str, Any]]:
    """Document the error responses of a handler, for `@docs(responses=…)`."""
    return {
        str(status): {
            "schema": schema(),
            "description": HTTPStatus(status).phrase,
            "content_type": CONTENT_TYPE,
            "headers": _HEADERS.get(status, []),
            "example": (example or EXAMPLES[status]).document(EXAMPLE_REQUEST),
        }
        for status in statuses
    }


JOB_ID = {
    "in": "path",
    "name": "job_id",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
    "description": "8 lowercase hexadecimal digits.",
    "example": EXAMPLE_JOB,
}
