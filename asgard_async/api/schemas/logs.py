"""Queries of logs."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema
from marshmallow.validate import Range

from asgard_async.api.schemas.fields import QueryFlag, QueryNumber

MAX_SLICE_BYTES = 4 * 1024 * 1024
MAX_TAIL_LINES = 100_000


class LogQuery(Schema):
    """The part of a log to read; by default all of it."""

    offset = QueryNumber(validate=Range(min=0), metadata={"description": "First byte to return."})
    limit = QueryNumber(
        validate=Range(1, MAX_SLICE_BYTES), metadata={"description": "Maximum number of bytes."}
    )
    tail = QueryNumber(
        validate=Range(0, MAX_TAIL_LINES), metadata={"description": "Return only the last lines."}
    )

    follow = QueryFlag(
        load_default=False,
        metadata={"description": "Keep sending what the job writes until it finishes."},
    )

    @validates_schema
    def _check_together(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        if "tail" in data and data.keys() & {"offset", "limit"}:
            raise ValidationError("Use either tail, or offset and limit.", "tail")
        if data["follow"] and "limit" in data:
            raise ValidationError("Not allowed together with follow.", "limit")


class StreamQuery(Schema):
    """The start of a stream."""

    offset = QueryNumber(
        load_default=0,
        validate=Range(min=0),
        metadata={"description": "First byte to send; an offset beyond the end means the end."},
    )
