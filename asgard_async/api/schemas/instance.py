"""Schemas of the handshake."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Regexp


class InstanceQuery(Schema):
    """A challenge to the service."""

    token_id = fields.String(
        validate=Regexp(r"^[0-9a-f]{8}\Z", error="Must be the id of a token."),
        metadata={"description": "Id of the token that the service should prove to know."},
    )
    nonce = fields.String(
        validate=Regexp(r"^[0-9a-f]{32,128}\Z", error="Must be 32 to 128 digits in hex."),
        metadata={"description": "Random, for one use."},
    )

    @validates_schema
    def _check_together(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        if "token_id" in data and "nonce" not in data:
            raise ValidationError("Required together with token_id.", "nonce")


class InstanceSchema(Schema):
    """The identity of the service."""

    instance = fields.String(
        required=True, metadata={"description": "The id of the service's data directory."}
    )
    address = fields.String(
        required=True,
        metadata={"description": "The address and port at which the request was received."},
    )
    proof = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "HMAC-SHA256 in hex; null for an unknown token."},
    )

    class Meta:
        example = {
            "instance": "5b1f0c6f2d4e48a0b1c3d5e7f9a1b3c5",
            "address": "127.0.0.1 8000",
            "proof": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }
