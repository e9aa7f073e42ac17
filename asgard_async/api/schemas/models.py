"""Schemas of registered models and their versions."""

import re

from marshmallow import Schema, fields
from marshmallow.validate import Length, Range, Regexp

from asgard_async.api.schemas.fields import QueryNumber, TextMap, as_validator, documented, no_nul
from asgard_async.api.schemas.submission_rules import (
    MAX_ENTRIES,
    MAX_MODEL_NAME,
    model_name,
    tag_key,
    tag_value,
)

MAX_DESCRIPTION = 5000
"""The limit of MLflow's registry."""
MAX_VERSIONS = 500
RUN_ID = "[a-zA-Z0-9][a-zA-Z0-9_-]{0,255}"


@documented(pattern=f"^{RUN_ID}$")
def run_id(text: str) -> str | None:
    return None if re.fullmatch(RUN_ID, text) else "Not a run id."


class RegistrationSchema(Schema):
    """A request to register the model of a run as a version of a registered model."""

    model_name = fields.String(
        required=True, validate=[Length(1, MAX_MODEL_NAME), as_validator(model_name)]
    )
    run_id = fields.String(required=True, validate=as_validator(run_id))
    description = fields.String(
        load_default="", validate=[Length(max=MAX_DESCRIPTION), as_validator(no_nul)]
    )
    tags = TextMap(
        max_entries=MAX_ENTRIES,
        check_name=[tag_key],
        check_text=[tag_value, no_nul],
        load_default=dict,
    )

    class Meta:
        example = {
            "model_name": "churn",
            "run_id": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "description": "Trained on data from January.",
            "tags": {"team": "fraud"},
        }


class ModelVersionSchema(Schema):
    """A version of a registered model."""

    name = fields.String(required=True)
    version = fields.String(required=True)
    stage = fields.String(required=True)
    run_id = fields.String(required=True, allow_none=True)
    description = fields.String(required=True)
    tags = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})

    class Meta:
        example = {
            "name": "churn",
            "version": "1",
            "stage": "None",
            "run_id": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "description": "",
            "tags": {"asgard.job_id": "3f9c01ab"},
            "created_at": "2026-01-31T12:00:14.250000Z",
            "updated_at": "2026-01-31T12:00:14.250000Z",
        }


class ModelVersionListSchema(Schema):
    """A page of the versions of a registered model, newest first."""

    versions = fields.List(fields.Nested(ModelVersionSchema), required=True)
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "null on the last page."}
    )

    class Meta:
        example = {"versions": [ModelVersionSchema.Meta.example], "next_cursor": None}


class ModelVersionsQuery(Schema):
    """The part of the versions to return."""

    cursor = fields.String(
        validate=Regexp(r"^[A-Za-z0-9+/=_-]{1,200}\Z", error="Pass 'next_cursor' unchanged."),
        metadata={"description": "The `next_cursor` of the previous page."},
    )
    limit = QueryNumber(load_default=100, validate=Range(1, MAX_VERSIONS))


class RegisteredModelSchema(Schema):
    """A registered model with its latest versions."""

    name = fields.String(required=True)
    description = fields.String(required=True)
    tags = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    aliases = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "Versions by alias."},
    )
    latest_versions = fields.List(fields.Nested(ModelVersionSchema), required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})

    class Meta:
        example = {
            "name": "churn",
            "description": "",
            "tags": {},
            "aliases": {"champion": "1"},
            "latest_versions": [ModelVersionSchema.Meta.example],
            "created_at": "2026-01-31T12:00:14.100000Z",
            "updated_at": "2026-01-31T12:00:14.250000Z",
        }
