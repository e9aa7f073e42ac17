"""Jobs as they are asked for and answered."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, OneOf, Range

from asgard_async.api.schemas.fields import Moment, QueryNumber
from asgard_async.domain.status import ColdReason, Isolation, Phase, Reason, Start, Status

MAX_PAGE = 500


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
    """Filters of the list; all given ones must hold."""

    status = fields.Enum(Status, by_value=True)
    experiment_name = fields.String()
    model_name = fields.String()
    tag = TagFilter(metadata={"description": "key:value", "example": "team:fraud"})
    created_after = Moment()
    cursor = fields.String(
        validate=Length(1, 200), metadata={"description": "'next_cursor' of the page before."}
    )
    limit = QueryNumber(load_default=100, validate=Range(1, MAX_PAGE))


class JobQuery(Schema):
    """How much of its log comes with a job."""

    logs = fields.String(
        load_default="tail",
        validate=OneOf(["none", "tail", "full"]),
        metadata={"description": "Nothing, the last 64 KiB, or the whole log."},
    )


class LinksSchema(Schema):
    """Where more is found."""

    self = fields.String(required=True)
    logs = fields.String(required=True)
    stream = fields.String(
        required=True, metadata={"description": "For a WebSocket; not served yet."}
    )


def _moment(description: str = "", **options: Any) -> fields.String:
    metadata = {"format": "date-time", "description": description}
    return fields.String(required=True, metadata=metadata, **options)


class JobSchema(Schema):
    """A job in short."""

    job_id = fields.String(required=True, metadata={"pattern": "^[0-9a-f]{8}$"})
    script_name = fields.String(required=True)
    experiment_name = fields.String(required=True)
    model_name = fields.String(required=True)
    status = fields.Enum(Status, by_value=True, required=True)
    phase = fields.Enum(Phase, by_value=True, required=True)
    reason = fields.Enum(Reason, by_value=True, required=True, allow_none=True)
    created_at = _moment()
    started_at = _moment("When the script began to run.", allow_none=True)
    completed_at = _moment("When the script ended; null until the job is final.", allow_none=True)
    run_id = fields.String(required=True, allow_none=True)
    model_version = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    retry_of = fields.String(required=True, allow_none=True)
    links = fields.Nested(LinksSchema, required=True)

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


JOB_LINKS: Mapping[str, str] = dict.fromkeys(
    ("get_job", "get_logs", "get_script", "cancel", "retry", "delete_job"), "job_id"
)
"""What can be done with a job that was answered."""


class RunSchema(Schema):
    """An MLflow run that a job made."""

    run_id = fields.String(required=True)
    experiment_id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    started_at = _moment(allow_none=True)
    ended_at = _moment(allow_none=True)
    parent_run_id = fields.String(required=True, allow_none=True)


class ResourcesSchema(Schema):
    """What a job has used."""

    peak_memory_bytes = fields.Integer(required=True, allow_none=True)
    cpu_seconds = fields.Float(required=True, allow_none=True)


class AskedLimitsSchema(Schema):
    """What a job may use at most, as it asked in `resources`; null: what is configured."""

    memory_mb = fields.Integer(required=True, allow_none=True)
    cpus = fields.Float(required=True, allow_none=True)


class HistoryEntrySchema(Schema):
    """One move of a job."""

    status = fields.Enum(Status, by_value=True, required=True)
    phase = fields.Enum(Phase, by_value=True, required=True)
    at = _moment()
    detail = fields.String(required=True, allow_none=True)


class JobInFullSchema(JobSchema):
    """A job with all that is known of it."""

    exit_code = fields.Integer(required=True, allow_none=True)
    signal = fields.String(
        required=True, allow_none=True, metadata={"description": "Such as SIGKILL."}
    )
    duration_seconds = fields.Float(required=True, allow_none=True)
    timings = fields.Dict(
        keys=fields.String(),
        values=fields.Float(),
        required=True,
        metadata={"description": "Seconds spent in each phase."},
    )
    queue_position = fields.Integer(required=True, allow_none=True)
    runs = fields.List(fields.Nested(RunSchema), required=True)
    entrypoint = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The file of an archive that is run; null for a script."},
    )
    requirements = fields.List(fields.String(), required=True)
    tags = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    timeout = fields.Integer(required=True)
    priority = fields.Integer(required=True)
    warm = fields.Boolean(
        required=True, metadata={"description": "As submitted: whether it may start warm."}
    )
    start = fields.Enum(
        Start,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={
            "description": "Whether its interpreter was forked from one that has its imports done;"
            " null until it has started."
        },
    )
    cold_reason = fields.Enum(
        ColdReason,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={
            "description": "Why it started cold: warm starts are off; it asked for it; it imports"
            " nothing of what is preloaded; it brings a module of the same name; one of its"
            " variables is read while modules are imported; its requirements name an mlflow of"
            " their own; the memory limit; its environment has no fork server, or none that is"
            " ready; or that ended just then; or its environment was built for it, and is imported"
            " within the job's own walls alone."
        },
    )
    isolation = fields.Enum(
        Isolation,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={
            "description": "What keeps it from harming others, see [isolation] level; null until it"
            " has started."
        },
    )
    resources = fields.Nested(ResourcesSchema, required=True)
    limits = fields.Nested(AskedLimitsSchema, required=True)
    submitted_by = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Name of the token; null where none was needed."},
    )
    history = fields.List(fields.Nested(HistoryEntrySchema), required=True)
    logs = fields.String(metadata={"description": "Absent with ?logs=none."})

    class Meta:
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
            "tags": {"team": "fraud"},
            "timeout": 600,
            "priority": 0,
            "warm": True,
            "start": "warm",
            "cold_reason": None,
            "isolation": "sandbox",
            "entrypoint": None,
            "resources": {"peak_memory_bytes": 268435456, "cpu_seconds": 11.25},
            "limits": {"memory_mb": 4096, "cpus": None},
            "submitted_by": "ci",
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
