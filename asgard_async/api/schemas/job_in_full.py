"""The representation of a job with all its details; see `api.schemas.jobs`.

The fields of a submission, except those in `HIDDEN`, are added automatically. `api.views` adds the
fields in `COMPUTED`, which depend on more than the job.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields as fields_of
from typing import Any

from marshmallow import Schema, fields

from asgard_async.api.schemas.fields import (
    Flag,
    Number,
    TextList,
    TextMap,
    WholeNumber,
)
from asgard_async.api.schemas.jobs import JobSchema, nested_in_job, time_field
from asgard_async.api.schemas.submission import (
    ArchiveSubmissionSchema,
    ResourcesAskedSchema,
    SubmissionSchema,
)
from asgard_async.core.redaction import without_secrets
from asgard_async.domain.job import JobSpec
from asgard_async.domain.status import ColdReason, Isolation, Phase, Start, Status

HIDDEN = frozenset({"script_content", "environment_vars", "idempotency_key"})
"""Fields of a submission that are not shown as they were submitted."""

COMPUTED = (
    *("timings", "queue_position", "history", "logs"),
    *("environment_vars", "run_url", "log_kept"),
)


def _shown(schema: Schema, *, but: Collection[str] = ()) -> dict[str, fields.Field[Any]]:
    """Return the response fields that show the fields of a submission."""
    nullable = {field.name for field in fields_of(JobSpec) if field.default is None}
    return {
        name: _shown_field(field, is_nullable=name in nullable)
        for name, field in schema.fields.items()
        if name not in HIDDEN and name not in but
    }


def _example_of(shown: Collection[str]) -> dict[str, Any]:
    """Return these fields of the example upload, with defaults for missing fields."""
    defaults = {field.name: field.default for field in fields_of(JobSpec)}
    uploaded = SubmissionSchema.Meta.example
    return {name: uploaded.get(name, defaults[name]) for name in shown}


def _shown_field(field: fields.Field[Any], *, is_nullable: bool) -> fields.Field[Any]:
    options: dict[str, Any] = {
        "required": True,
        "allow_none": is_nullable,
        "metadata": {
            "source": f"spec.{field.name}",
            "description": field.metadata.get("description", ""),
        },
    }
    match field:
        case Flag():
            return fields.Boolean(**options)
        case WholeNumber():
            return fields.Integer(**options)
        case Number():
            return fields.Float(**options)
        case TextList():
            return fields.List(fields.String(), **options)
        case TextMap():
            return fields.Dict(keys=fields.String(), values=fields.String(), **options)
        case _:
            return fields.String(**options)


class RunSchema(Schema):
    """An MLflow run that a job created."""

    run_id = fields.String(required=True)
    experiment_id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    started_at = time_field(allow_none=True)
    ended_at = time_field(allow_none=True)
    parent_run_id = fields.String(required=True, allow_none=True)


class ResourcesSchema(Schema):
    """The resources that a job used."""

    peak_memory_bytes = fields.Integer(
        required=True, allow_none=True, metadata={"source": "outcome.peak_memory_bytes"}
    )
    cpu_seconds = fields.Float(
        required=True, allow_none=True, metadata={"source": "outcome.cpu_seconds"}
    )


class AskedLimitsSchema(Schema):
    """The limits that a job requested in `resources`; null means the configured limit."""

    class Meta:
        include = _shown(ResourcesAskedSchema())


class HistoryEntrySchema(Schema):
    """A transition of a job."""

    status = fields.Enum(Status, by_value=True, required=True)
    phase = fields.Enum(Phase, by_value=True, required=True)
    at = time_field()
    detail = fields.String(required=True, allow_none=True)


def _redacted(requirements: Collection[str]) -> list[str]:
    return [without_secrets(requirement) for requirement in requirements]


class JobInFullSchema(JobSchema):
    """A job with all its details."""

    exit_code = fields.Integer(
        required=True, allow_none=True, metadata={"source": "final_outcome.exit_code"}
    )
    signal = fields.String(
        required=True,
        allow_none=True,
        metadata={"source": "final_outcome.signal", "description": "Such as SIGKILL."},
    )
    duration_seconds = fields.Float(required=True, allow_none=True)
    timings = fields.Dict(
        keys=fields.String(),
        values=fields.Float(),
        required=True,
        metadata={"description": "Seconds spent in each phase."},
    )
    queue_position = fields.Integer(required=True, allow_none=True)
    environment_vars = fields.Dict(
        keys=fields.String(),
        values=fields.String(allow_none=True),
        required=True,
        metadata={
            "description": "Environment variables of the script. The values are null unless the"
            " job belongs to the token of the request."
        },
    )
    runs = fields.List(
        fields.Nested(RunSchema), required=True, metadata={"source": "tracking.runs"}
    )
    run_url = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The page of the run `run_id` in MLflow."},
    )
    metrics = fields.Dict(
        keys=fields.String(),
        values=fields.Float(allow_none=True),
        required=True,
        metadata={
            "source": "tracking.metrics",
            "description": "The last values of the metrics of the run `run_id`, at most 100; null"
            " stands for a value that is not finite.",
        },
    )
    requirements = fields.List(
        fields.String(),
        required=True,
        metadata={"source": "spec.requirements", "convert": _redacted},
    )
    start = fields.Enum(
        Start,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={
            "description": "warm: forked from an interpreter with preloaded imports; cold: a new"
            " interpreter; null until the job has started."
        },
    )
    cold_reason = fields.Enum(
        ColdReason,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={
            "source": "started.cold_reason",
            "description": "Why the job started cold: warm starts are off; the job asked for it; it"
            " imports none of the preloaded packages; it brings a module of the same name; one of"
            " its environment variables is read during imports; its requirements name their own"
            " mlflow; the memory limit is too low; its environment has no fork server, or one that"
            " is not ready or has just exited; or its environment was built for the job and is"
            " imported only inside its sandbox.",
        },
    )
    isolation = fields.Enum(
        Isolation,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={
            "source": "started.isolation",
            "description": "The isolation level it runs with, see [isolation] level; null until it"
            " has started.",
        },
    )
    resources = nested_in_job(ResourcesSchema)
    limits = nested_in_job(AskedLimitsSchema)
    history = fields.List(fields.Nested(HistoryEntrySchema), required=True)
    log_kept = fields.Boolean(
        required=True,
        metadata={
            "description": "false if the log of the finished job is no longer stored: [retention]"
            " deleted it, or it was lost or not restored with the database."
        },
    )
    logs = fields.String(metadata={"description": "Absent with ?logs=none."})

    class Meta:
        include = _shown(
            ArchiveSubmissionSchema(),
            but={*JobSchema().fields, "requirements", "resources"},
        )
        example: Mapping[str, Any] = {
            **JobSchema.Meta.example,
            "exit_code": 0,
            "signal": None,
            "duration_seconds": 12.5,
            "timings": {"queued": 0.125, "starting": 0.125, "running": 12.5, "recording": 1.5},
            "queue_position": None,
            "environment_vars": {"EPOCHS": "3"},
            "run_url": "http://127.0.0.1:5000/#/experiments/1/runs/"
            "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "metrics": {"rmse": 0.25},
            "runs": [
                {
                    "run_id": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                    "experiment_id": "1",
                    "name": "nimble-fox-17",
                    "status": "FINISHED",
                    "started_at": "2026-01-31T12:00:04.000000Z",
                    "ended_at": "2026-01-31T12:00:12.000000Z",
                    "parent_run_id": None,
                }
            ],
            "requirements": ["scikit-learn"],
            **_example_of(include),
            "start": "warm",
            "cold_reason": None,
            "isolation": "sandbox",
            "resources": {"peak_memory_bytes": 268435456, "cpu_seconds": 11.25},
            "limits": {"memory_mb": 4096, "cpus": None},
            "history": [
                {
                    "status": "queued",
                    "phase": "queued",
                    "at": "2026-01-31T12:00:00.000000Z",
                    "detail": None,
                }
            ],
            "log_kept": True,
            "logs": "hello\n",
        }
