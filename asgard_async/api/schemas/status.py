"""Schemas of service status and health."""

from marshmallow import Schema, fields
from marshmallow.validate import OneOf

from asgard_async.domain.status import Isolation
from asgard_async.supervisor.limits.mechanisms import Mechanism


class TimeoutBoundsSchema(Schema):
    """The timeouts that jobs may have, in seconds."""

    default = fields.Integer(required=True)
    min = fields.Integer(required=True)
    max = fields.Integer(required=True)


class StatusSchema(Schema):
    """The status of the service, and of MLflow at the last check."""

    asgard_api = fields.String(required=True, validate=OneOf(["accessible"]))
    mlflow_api = fields.String(
        required=True, validate=OneOf(["accessible", "unreachable", "starting"])
    )
    mlflow_available = fields.Boolean(required=True)
    mlflow_tracking_uri = fields.String(required=True)
    registered_models = fields.Integer(required=True, allow_none=True)
    active_experiments = fields.Integer(required=True, allow_none=True)
    jobs = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Number of jobs by status."},
    )
    checked_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "Time of the last check of MLflow."},
    )
    age_seconds = fields.Float(required=True, allow_none=True)
    mlflow_latency_ms = fields.Float(required=True, allow_none=True)
    timeout = fields.Nested(TimeoutBoundsSchema, required=True)
    version = fields.String(required=True)
    timestamp = fields.String(required=True, metadata={"format": "date-time"})

    class Meta:
        example = {
            "asgard_api": "accessible",
            "mlflow_api": "accessible",
            "mlflow_available": True,
            "mlflow_tracking_uri": "http://127.0.0.1:5000",
            "registered_models": 3,
            "active_experiments": 2,
            "jobs": {"queued": 1, "running": 2, "completed": 17, "failed": 1, "cancelled": 0},
            "checked_at": "2026-01-31T12:00:00.000000Z",
            "age_seconds": 2.5,
            "mlflow_latency_ms": 12.5,
            "timeout": {"default": 300, "min": 60, "max": 3600},
            "version": "0.1.0",
            "timestamp": "2026-01-31T12:00:02.500000Z",
        }


def identity_fields() -> tuple[fields.String, fields.String]:
    """Return the fields that only the service's own user sees."""
    return (
        fields.String(metadata={"description": "Id of the data directory; only for the own user."}),
        fields.String(metadata={"description": "The data directory; only for the own user."}),
    )


class LiveSchema(Schema):
    """The response of a live process."""

    status = fields.String(required=True, validate=OneOf(["live"]))

    class Meta:
        example = {"status": "live"}


class ReadySchema(Schema):
    """The response of a service that accepts jobs."""

    status = fields.String(required=True, validate=OneOf(["ready"]))
    warnings = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Problems that an administrator should fix."},
    )

    isolation = fields.Enum(
        Isolation,
        by_value=True,
        required=True,
        metadata={"description": "Isolation level of jobs; see [isolation] level."},
    )
    limits = fields.Dict(
        keys=fields.String(),
        values=fields.Enum(Mechanism, by_value=True),
        required=True,
        metadata={"description": "Mechanism that enforces each limit of jobs; see [limits]."},
    )
    instance, data_dir = identity_fields()

    class Meta:
        example = {
            "status": "ready",
            "warnings": [],
            "isolation": "sandbox",
            "limits": {"memory": "cgroup v2"},
        }
