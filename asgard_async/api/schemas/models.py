"""Registered models as they are asked for and answered."""

import re

from marshmallow import Schema, fields
from marshmallow.validate import Length, Regexp

from asgard_async.api.schemas.fields import TextMap, as_validator, no_nul
from asgard_async.api.schemas.submission import (
    MAX_ENTRIES,
    MAX_MODEL_NAME,
    model_name,
    tag_key,
    tag_value,
)

MAX_DESCRIPTION = 5000
"""What MLflow's registry holds."""
RUN_ID = re.compile(r"[a-zA-Z0-9][\w-]{0,255}\Z", re.ASCII)


class RegistrationSchema(Schema):
    """A run whose model is to become a version of a registered model."""

    model_name = fields.String(
        required=True, validate=[Length(1, MAX_MODEL_NAME), as_validator(model_name)]
    )
    run_id = fields.String(required=True, validate=Regexp(RUN_ID, error="Is no id of a run."))
    description = fields.String(
        load_default="", validate=[Length(max=MAX_DESCRIPTION), as_validator(no_nul)]
    )
    tags = TextMap(
        max_entries=MAX_ENTRIES,
        check_name=[tag_key],
        check_text=[tag_value, no_nul],
        load_default=dict,
    )


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


class RegisteredModelSchema(Schema):
    """A registered model with its newest versions."""

    name = fields.String(required=True)
    description = fields.String(required=True)
    tags = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    aliases = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "Version by alias."},
    )
    latest_versions = fields.List(fields.Nested(ModelVersionSchema), required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})
