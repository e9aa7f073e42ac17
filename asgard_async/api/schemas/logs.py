"""What can be asked of a log."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema
from marshmallow.validate import Range

from asgard_async.api.schemas.fields import QueryFlag, QueryNumber

MAX_SLICE_BYTES = 4 * 1024 * 1024
MAX_TAIL_LINES = 100_000


class LogQuery(Schema):
    """A part of a log; without any of these the whole of it."""

    offset = QueryNumber(
        validate=Range(min=0), metadata={"description": "The first byte that is wanted."}
    )
    limit = QueryNumber(
        validate=Range(1, MAX_SLICE_BYTES), metadata={"description": "At most so many bytes."}
    )
    tail = QueryNumber(
        validate=Range(0, MAX_TAIL_LINES), metadata={"description": "The last lines only."}
    )

    follow = QueryFlag(
        load_default=False,
        metadata={
            "description": "Go on with what the job writes from now on, until it has finished."
        },
    )

    @validates_schema
    def _check_together(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        if "tail" in data and data.keys() & {"offset", "limit"}:
            raise ValidationError("Give either tail, or offset and limit.", "tail")
        if data["follow"] and "limit" in data:
            raise ValidationError("What is followed has no limit.", "limit")


class StreamQuery(Schema):
    """Where a stream begins."""

    offset = QueryNumber(
        load_default=0,
        validate=Range(min=0),
        metadata={"description": "The first byte that is wanted; beyond the end means the end."},
    )
