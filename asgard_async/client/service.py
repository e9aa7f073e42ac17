"""How the service is."""

from datetime import datetime

import msgspec

from asgard_async.client.jobs import Record


class ServiceStatus(Record, frozen=True, kw_only=True):
    """Asgard and its MLflow, as last seen. Counts are None before MLflow answered once."""

    asgard_api: str
    mlflow_api: str
    """accessible, unreachable or starting"""
    mlflow_available: bool
    mlflow_tracking_uri: str
    registered_models: int | None = None
    active_experiments: int | None = None
    jobs: dict[str, int] = msgspec.field(default_factory=dict)
    """Number of jobs by status."""
    checked_at: datetime | None = None
    """When MLflow was last asked."""
    age_seconds: float | None = None
    mlflow_latency_ms: float | None = None
    version: str
    timestamp: datetime


class Readiness(Record, frozen=True, kw_only=True):
    """Whether the service takes jobs; true and false are that. `reasons` says why not."""

    ready: bool
    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.ready


class Reasons(Record, frozen=True, kw_only=True):
    """Why the service takes no jobs, as it tells it."""

    reasons: tuple[str, ...] = ()
