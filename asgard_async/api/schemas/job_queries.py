"""Queries for jobs."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, OneOf, Range

from asgard_async.api.schemas.fields import Moment, QueryFlag, QueryNumber
from asgard_async.domain.status import Status

MAX_PAGE = 500


class PairFilter(fields.String):
    """`key:value`; the key ends at the first colon."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        key, colon, text = str(value).partition(":")
        if not key or not colon:
            raise ValidationError("Must be key:value.")
        return key, text


class JobListQuery(Schema):
    """Filters of the job list, combined with AND."""

    status = fields.Enum(Status, by_value=True)
    experiment_name = fields.String()
    model_name = fields.String()
    tag = PairFilter(metadata={"description": "key:value", "example": "team:fraud"})
    arg = fields.String(
        metadata={"description": "One of the arguments.", "example": "--verbose"},
    )
    param = PairFilter(
        metadata={
            "description": "name:value of a parameter; numbers, true and false as in JSON.",
            "example": "lr:0.1",
        }
    )
    environment_var = fields.String(
        metadata={"description": "The name of an environment variable.", "example": "EPOCHS"}
    )
    created_after = Moment()
    owner = fields.String(
        metadata={"description": "The token that submitted the job.", "example": "ci"}
    )
    mine = QueryFlag(
        load_default=False,
        metadata={"description": "Only jobs that were submitted with the token of the request."},
    )
    cursor = fields.String(
        validate=Length(1, 200),
        metadata={"description": "The `next_cursor` of the previous page."},
    )
    limit = QueryNumber(load_default=100, validate=Range(1, MAX_PAGE))


class JobQuery(Schema):
    """Options for showing a job."""

    logs = fields.String(
        load_default="tail",
        validate=OneOf(["none", "tail", "full"]),
        metadata={"description": "How much of the log to include; tail is the last 64 KiB."},
    )
