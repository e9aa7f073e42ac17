"""Queries for jobs, and the representation of jobs in responses.

`api.views` builds documents from these declarations. A field shows the attribute with the
same name, or the attribute that `source` in its metadata names: a path from the record, on which
None gives null. `convert` in the metadata is applied to values other than None. The fields of a
submission, except those in `HIDDEN`, are added automatically.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields as fields_of
from typing import Any

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, OneOf, Range

from asgard_async.api.schemas.fields import (
    Flag,
    Moment,
    Number,
    QueryFlag,
    QueryNumber,
    TextList,
    TextMap,
    WholeNumber,
)
from asgard_async.api.schemas.submission import (
    ArchiveSubmissionSchema,
    ResourcesAskedSchema,
    SubmissionSchema,
)
from asgard_async.core.redaction import without_secrets
from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.job import JobSpec
from asgard_async.domain.status import ColdReason, Isolation, Phase, Reason, Start, Status

MAX_PAGE = 500
HIDDEN = frozenset({"script_content", "environment_vars", "idempotency_key"})
"""Fields of a submission that responses never show."""


class TagFilter(fields.String):
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
    tag = TagFilter(metadata={"description": "key:value", "example": "team:fraud"})
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


def job_path(job_id: str) -> str:
    """Return the URL path of a job."""
    return f"/mlops/training/jobs/{job_id}"


def _logs_path(job_id: str) -> str:
    return f"{job_path(job_id)}/logs"


def _stream_path(job_id: str) -> str:
    return f"{job_path(job_id)}/logs/ws"


class LinksSchema(Schema):
    """Related resources."""

    self = fields.String(required=True, metadata={"source": "job_id", "convert": job_path})
    logs = fields.String(required=True, metadata={"source": "job_id", "convert": _logs_path})
    stream = fields.String(
        required=True,
        metadata={
            "source": "job_id",
            "convert": _stream_path,
            "description": "WebSocket with the log and every change of the job.",
        },
    )


def _time(description: str = "", *, source: str | None = None, **options: Any) -> fields.String:
    metadata = {"format": "date-time", "description": description, "convert": rfc3339}
    if source is not None:
        metadata["source"] = source
    return fields.String(required=True, metadata=metadata, **options)


def _nested_in_job(schema: type[Schema]) -> fields.Nested:
    """Return a nested object that groups attributes of the job."""
    return fields.Nested(schema, required=True, metadata={"source": ""})


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


def _or_null(name: str) -> str | None:
    return name or None


class JobSchema(Schema):
    """The short form of a job."""

    job_id = fields.String(required=True, metadata={"pattern": "^[0-9a-f]{8}$"})
    script_name = fields.String(required=True, metadata={"source": "spec.script_name"})
    experiment_name = fields.String(required=True, metadata={"source": "spec.experiment_name"})
    model_name = fields.String(required=True, metadata={"source": "spec.model_name"})
    status = fields.Enum(Status, by_value=True, required=True)
    phase = fields.Enum(Phase, by_value=True, required=True)
    reason = fields.Enum(
        Reason,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={"source": "final_outcome.reason"},
    )
    created_at = _time()
    started_at = _time("When the script started.", allow_none=True)
    completed_at = _time(
        "When the script ended; null until the job has finished.",
        source="final_outcome.ended_at",
        allow_none=True,
    )
    run_id = fields.String(required=True, allow_none=True, metadata={"source": "tracking.run_id"})
    model_version = fields.String(
        required=True, allow_none=True, metadata={"source": "tracking.model_version"}
    )
    error = fields.String(
        required=True, allow_none=True, metadata={"source": "final_outcome.error"}
    )
    retry_of = fields.String(required=True, allow_none=True)
    submitted_by = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "convert": _or_null,
            "description": "Name of the token; null if none was required.",
        },
    )
    links = _nested_in_job(LinksSchema)

    class Meta:
        example: Mapping[str, Any] = {
            "job_id": "3f9c01ab",
            "script_name": "train.py",
            "experiment_name": "churn",
            "model_name": "churn",
            "status": "completed",
            "phase": "finished",
            "reason": "succeeded",
            "created_at": "2026-01-31T12:00:00.000000Z",
            "started_at": "2026-01-31T12:00:00.250000Z",
            "completed_at": "2026-01-31T12:00:12.750000Z",
            "run_id": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "model_version": "1",
            "error": None,
            "retry_of": None,
            "submitted_by": "ci",
            "links": {
                "self": "/mlops/training/jobs/3f9c01ab",
                "logs": "/mlops/training/jobs/3f9c01ab/logs",
                "stream": "/mlops/training/jobs/3f9c01ab/logs/ws",
            },
        }


class NewJobSchema(JobSchema):
    """A job that has just been accepted."""

    class Meta:
        example: Mapping[str, Any] = {
            **JobSchema.Meta.example,
            "status": "queued",
            "phase": "queued",
            "reason": None,
            "started_at": None,
            "completed_at": None,
            "run_id": None,
            "model_version": None,
        }


class RetriedJobSchema(NewJobSchema):
    """A job that was submitted again."""

    omitted = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "Fields of the original job that the new one lacks: environment_vars if"
            " it belongs to another token."
        },
    )

    class Meta:
        example: Mapping[str, Any] = {**NewJobSchema.Meta.example, "omitted": []}


JOB_LINKS: Mapping[str, str] = dict.fromkeys(
    ("get_job", "get_logs", "get_script", "cancel", "retry", "delete_job"), "job_id"
)
"""The operations that take the id of a returned job."""


class RunSchema(Schema):
    """An MLflow run that a job created."""

    run_id = fields.String(required=True)
    experiment_id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    started_at = _time(allow_none=True)
    ended_at = _time(allow_none=True)
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
    at = _time()
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
    runs = fields.List(
        fields.Nested(RunSchema), required=True, metadata={"source": "tracking.runs"}
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
    resources = _nested_in_job(ResourcesSchema)
    limits = _nested_in_job(AskedLimitsSchema)
    history = fields.List(fields.Nested(HistoryEntrySchema), required=True)
    logs = fields.String(metadata={"description": "Absent with ?logs=none."})

    class Meta:
        include = _shown(
            ArchiveSubmissionSchema(),
            but={"script_name", "experiment_name", "model_name", "requirements", "resources"},
        )
        example: Mapping[str, Any] = {
            **JobSchema.Meta.example,
            "exit_code": 0,
            "signal": None,
            "duration_seconds": 12.5,
            "timings": {"queued": 0.125, "starting": 0.125, "running": 12.5, "recording": 1.5},
            "queue_position": None,
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
            "logs": "hello\n",
        }


class JobListSchema(Schema):
    """A page of jobs, newest first."""

    jobs = fields.List(fields.Nested(JobSchema), required=True)
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "null on the last page."}
    )

    class Meta:
        example: Mapping[str, Any] = {"jobs": [JobSchema.Meta.example], "next_cursor": None}
