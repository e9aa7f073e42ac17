"""The representation of jobs in lists and in responses to actions.

`api.views` builds documents from these declarations. A field shows the attribute with the
same name, or the attribute that `source` in its metadata names: a path from the record, on which
None gives null. `convert` in the metadata is applied to values other than None.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from asgard_async.api.http.path_prefix import path_prefix
from asgard_async.api.schemas.fields import SCALAR
from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.status import Phase, Reason, Status


def job_path(job_id: str) -> str:
    """Return the URL path of a job."""
    return f"{path_prefix()}/mlops/training/jobs/{job_id}"


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


def time_field(
    description: str = "", *, source: str | None = None, **options: Any
) -> fields.String:
    """Return a response field that shows a time."""
    metadata = {"format": "date-time", "description": description, "convert": rfc3339}
    if source is not None:
        metadata["source"] = source
    return fields.String(required=True, metadata=metadata, **options)


def nested_in_job(schema: type[Schema]) -> fields.Nested:
    """Return a nested object that groups attributes of the job."""
    return fields.Nested(schema, required=True, metadata={"source": ""})


def _or_null(name: str) -> str | None:
    return name or None


class JobSchema(Schema):
    """The short form of a job."""

    job_id = fields.String(required=True, metadata={"pattern": "^[0-9a-f]{8}$"})
    script_name = fields.String(required=True, metadata={"source": "spec.script_name"})
    experiment_name = fields.String(required=True, metadata={"source": "spec.experiment_name"})
    model_name = fields.String(required=True, metadata={"source": "spec.model_name"})
    args = fields.List(
        fields.String(),
        required=True,
        metadata={"source": "spec.args", "description": "Command-line arguments of the script."},
    )
    params = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(metadata=SCALAR),
        required=True,
        metadata={"source": "spec.params", "description": "Parameters of the script."},
    )
    status = fields.Enum(Status, by_value=True, required=True)
    phase = fields.Enum(Phase, by_value=True, required=True)
    reason = fields.Enum(
        Reason,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={"source": "final_outcome.reason"},
    )
    created_at = time_field()
    started_at = time_field("When the script started.", allow_none=True)
    completed_at = time_field(
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
    links = nested_in_job(LinksSchema)

    class Meta:
        example: Mapping[str, Any] = {
            "job_id": "3f9c01ab",
            "script_name": "train.py",
            "experiment_name": "churn",
            "model_name": "churn",
            "args": ["--verbose"],
            "params": {"lr": 0.1, "depth": 6},
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


class JobListSchema(Schema):
    """A page of jobs, newest first."""

    jobs = fields.List(fields.Nested(JobSchema), required=True)
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "null on the last page."}
    )

    class Meta:
        example: Mapping[str, Any] = {"jobs": [JobSchema.Meta.example], "next_cursor": None}
