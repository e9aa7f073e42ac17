"""The fields of an upload, as JSON, with an archive and as a form.

Simple fields are declared in `domain.job.JobSpec`, with their rules. `jobs.submit` checks that
requirements can be parsed and that scripts compile.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING
from dataclasses import Field as DomainField
from dataclasses import fields as fields_of
from typing import Any

from aiohttp import web
from marshmallow import Schema, fields
from marshmallow.validate import Length, Range

from asgard_async.api.schemas.fields import (
    Flag,
    Number,
    ScalarMap,
    TextList,
    TextMap,
    WholeNumber,
    as_validator,
    no_nul,
)
from asgard_async.api.schemas.script import Script, base64_size
from asgard_async.api.schemas.submission_rules import (
    MAX_ARGS,
    MAX_ENTRIES,
    MAX_ENTRYPOINT,
    MAX_MODEL_NAME,
    MAX_NAME,
    SubmissionLimits,
    args_size,
    argument,
    as_notebook,
    entrypoint,
    environment_size,
    file_name,
    idempotency_key,
    is_notebook,
    model_name,
    param_name,
    params_size,
    tag_key,
    tag_value,
    tags_size,
    variable_name,
)
from asgard_async.config import LARGEST
from asgard_async.domain.job import ACCEPTED, Accepted, JobSpec, is_notebook_name
from asgard_async.domain.requester import Requester
from asgard_async.domain.submission import Submission, UploadedArchive
from asgard_async.jobs.submit.requirements import MAX_REQUIREMENT, MAX_REQUIREMENTS

LEAST_MEMORY_MB = 16
"""The interpreter does not start with less."""
LEAST_CPUS = 0.01
"""The smallest share that the kernel's scheduler accepts."""


class ResourcesAskedSchema(Schema):
    """Limits for the job, within the configured limits."""

    memory_mb = WholeNumber(metadata={"description": "Memory in MiB."})
    cpus = Number(metadata={"description": "CPU time per second, such as 1.5."})

    class Meta:
        example = {"memory_mb": 4096, "cpus": 2}


def resources_within(limits: SubmissionLimits) -> Schema:
    """Return the schema of resources, bounded by the configured limits."""
    schema = ResourcesAskedSchema()
    bounds = (("memory_mb", LEAST_MEMORY_MB, limits.memory_mb), ("cpus", LEAST_CPUS, limits.cpus))
    for name, least, most in bounds:
        field = schema.fields[name]
        field.validators = [Range(least, most or LARGEST)]
    return schema


def declared_in(record: type[Any]) -> dict[str, fields.Field[Any]]:
    """Return the fields of a record of the domain that are declared with rules."""
    return {
        declared.name: _field_of(declared, declared.metadata[ACCEPTED])
        for declared in fields_of(record)
        if ACCEPTED in declared.metadata
    }


def _field_of(declared: DomainField[Any], rules: Accepted) -> fields.Field[Any]:
    metadata: dict[str, Any] = {"description": rules.description}
    if rules.example is not None:
        metadata["example"] = rules.example
    options: dict[str, Any] = {"metadata": metadata}
    if declared.default is MISSING:
        options["required"] = True
    else:
        options["load_default"] = declared.default
    within = Range(rules.minimum, rules.maximum)
    if declared.type is bool:
        return Flag(**options)
    if declared.type is int:
        return WholeNumber(validate=within, **options)
    if declared.type is float:
        return Number(validate=within, **options)
    if declared.type in {str, str | None}:
        length = Length(rules.minimum, rules.maximum)
        # None stands for a missing field; null is not a text
        return fields.String(validate=[length, as_validator(no_nul)], allow_none=False, **options)
    raise TypeError(f"{declared.name}: declare a field of this type in SubmissionSchema")


def entrypoint_field(*, required: bool = False) -> fields.String:
    """Return the field for the file of an archive to run."""
    return fields.String(
        required=required,
        validate=[Length(1, MAX_ENTRYPOINT), as_validator(entrypoint)],
        metadata={
            "description": "The archived .py file or notebook to run.",
            "example": "src/train.py",
        },
    )


TIMEOUT_ERROR = (
    "Must be {min} to {max} seconds; the administrator sets these bounds ([jobs] timeout_min,"
    " timeout_max)."
)


class SubmissionSchema(Schema):
    """An upload as JSON; `to_submission` converts the loaded fields."""

    def __init__(self, limits: SubmissionLimits | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = limits = limits or SubmissionLimits()
        # fields belong to the instance, so the document shows the configured limits
        timeout, script = self.fields["timeout"], self.fields.get("script_content")
        timeout.validators = [Range(limits.timeout_min, limits.timeout_max, error=TIMEOUT_ERROR)]
        timeout.load_default = limits.timeout_default
        resources = self.fields["resources"]
        assert isinstance(resources, fields.Nested)  # noqa: S101
        resources.nested = resources_within(limits)
        if script is not None:
            size = base64_size(limits.max_script_bytes)
            script.metadata = {**script.metadata, "maxLength": size}

    class Meta:
        include = declared_in(JobSpec)
        example = {
            "script_name": "train.py",
            "script_content": "cHJpbnQoImhlbGxvIikK",
            "experiment_name": "churn",
            "model_name": "churn",
            "requirements": ["scikit-learn"],
            "environment_vars": {"EPOCHS": "3"},
            "args": ["--verbose"],
            "params": {"lr": 0.1, "depth": 6},
            "timeout": 600,
            "tags": {"team": "fraud"},
            "priority": 0,
            "idempotency_key": "churn-2026-01-31",
            "warm": True,
            "resources": {"memory_mb": 4096},
        }

    script_name = fields.String(
        required=True,
        validate=[Length(1, MAX_NAME), as_validator(file_name)],
        metadata={"description": "A plain file name.", "example": "train.py"},
    )
    script_content = Script(
        required=True,
        metadata={
            "description": "The script, UTF-8, in standard base64.",
            "contentEncoding": "base64",
            "minLength": 4,
            "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
            "example": "cHJpbnQoImhlbGxvIikK",
        },
    )
    model_name = fields.String(
        required=True,
        validate=[Length(1, MAX_MODEL_NAME), as_validator(model_name)],
        metadata={"description": "Registered model of the job's result.", "example": "churn"},
    )
    requirements = TextList(
        max_entries=MAX_REQUIREMENTS,
        check=[Length(1, MAX_REQUIREMENT), as_validator(no_nul)],
        load_default=list,
        metadata={"description": "PEP 508 requirements.", "example": ["scikit-learn"]},
    )
    environment_vars = TextMap(
        max_entries=MAX_ENTRIES,
        check_name=[variable_name],
        check_text=[no_nul],
        load_default=dict,
        validate=environment_size,
        metadata={"description": "Environment variables of the script."},
    )
    args = TextList(
        max_entries=MAX_ARGS,
        check=[as_validator(argument), as_validator(no_nul)],
        load_default=list,
        validate=args_size,
        metadata={
            "description": "Command-line arguments of the script.",
            "example": ["--verbose"],
        },
    )
    params = ScalarMap(
        max_entries=MAX_ENTRIES,
        check_name=[param_name],
        check_text=[argument, no_nul],
        load_default=dict,
        validate=params_size,
        metadata={
            "description": "Parameters of the script: `--name=value` after `args`, and JSON in"
            " ASGARD_PARAMS.",
            "example": {"lr": 0.1, "depth": 6},
        },
    )
    timeout = WholeNumber(
        metadata={"description": "Time limit in seconds; the default is configured."}
    )
    tags = TextMap(
        max_entries=MAX_ENTRIES,
        check_name=[tag_key],
        check_text=[tag_value, no_nul],
        load_default=dict,
        validate=tags_size,
        metadata={"description": "Tags of the job's MLflow runs."},
    )
    idempotency_key = fields.String(
        load_default=None,
        allow_none=False,
        validate=as_validator(idempotency_key),
        metadata={"description": "Makes it safe to repeat the upload; also a header."},
    )
    resources = fields.Nested(
        ResourcesAskedSchema,
        load_default=dict,
        metadata={"description": "Limits for the job; the default is configured."},
    )


class ArchiveSubmissionSchema(SubmissionSchema):
    """An upload with an archive."""

    class Meta:
        exclude = ("script_content",)

    entrypoint = entrypoint_field(required=True)


class UploadFormSchema(SubmissionSchema):
    """An upload as a form, for documentation only; the other schemas validate its fields."""

    class Meta:
        exclude = ("script_content",)
        example = {
            "script": "print('hello')",
            "experiment_name": "churn",
            "model_name": "churn",
            "requirements": ["scikit-learn"],
        }

    script_name = fields.String(
        metadata={"description": "Name of the script; defaults to the file name of the part."}
    )
    script = fields.String(
        metadata={"description": "The script, a .py file; send either this or an archive."}
    )
    archive = fields.String(
        metadata={
            "description": "A .zip or .tar.gz with the script and its files.",
            "format": "binary",
        }
    )
    entrypoint = entrypoint_field()


def to_submission(loaded: Mapping[str, Any], *, requester: Requester) -> Submission:
    """Convert loaded fields of SubmissionSchema."""
    spec = dict(loaded)
    script, key = spec.pop("script_content"), spec.pop("idempotency_key")
    if is_notebook(script) and not is_notebook_name(spec["script_name"]):
        spec["script_name"] = as_notebook(spec["script_name"])
    return Submission(
        spec=to_spec(spec, script_sha256=hashlib.sha256(script).hexdigest()),
        script=script,
        idempotency_key=key,
        requester=requester,
    )


def to_archive_submission(
    loaded: Mapping[str, Any], archive: UploadedArchive, *, requester: Requester
) -> Submission:
    """Convert an archive and loaded fields of ArchiveSubmissionSchema."""
    spec = dict(loaded)
    key = spec.pop("idempotency_key")
    return Submission(
        spec=to_spec(spec, script_sha256=archive.sha256),
        archive=archive,
        idempotency_key=key,
        requester=requester,
    )


def to_spec(fields: dict[str, Any], script_sha256: str) -> JobSpec:
    """Convert loaded fields other than the program and the idempotency key."""
    fields |= fields.pop("resources")
    fields["requirements"] = tuple(fields["requirements"])
    fields["args"] = tuple(fields["args"])
    return JobSpec(script_sha256=script_sha256, **fields)


SUBMISSION_SCHEMA = web.AppKey("submission_schema", SubmissionSchema)
ARCHIVE_SUBMISSION_SCHEMA = web.AppKey("archive_submission_schema", ArchiveSubmissionSchema)
