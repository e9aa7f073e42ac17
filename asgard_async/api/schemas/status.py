"""How the service is."""

from marshmallow import Schema, fields
from marshmallow.validate import OneOf


class StatusSchema(Schema):
    """Asgard and its MLflow, as last seen."""

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
        metadata={"format": "date-time", "description": "When MLflow was last asked."},
    )
    age_seconds = fields.Float(required=True, allow_none=True)
    mlflow_latency_ms = fields.Float(required=True, allow_none=True)
    version = fields.String(required=True)
    timestamp = fields.String(required=True, metadata={"format": "date-time"})


class LiveSchema(Schema):
    """The process answers."""

    status = fields.String(required=True, validate=OneOf(["live"]))


class ReadySchema(Schema):
    """The service takes jobs."""

    status = fields.String(required=True, validate=OneOf(["ready"]))
