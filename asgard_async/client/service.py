"""The state of the service."""

from datetime import datetime

import msgspec

from asgard_async.client.jobs import Record


class TimeoutBounds(Record, frozen=True, kw_only=True):
    """The timeouts that jobs may have, in seconds."""

    default: int
    min: int
    max: int


class ServiceStatus(Record, frozen=True, kw_only=True):
    """The last known state of Asgard and MLflow. Counts are None until MLflow has answered."""

    asgard_api: str
    mlflow_api: str
    """One of accessible, unreachable and starting."""
    mlflow_available: bool
    mlflow_tracking_uri: str
    registered_models: int | None = None
    active_experiments: int | None = None
    jobs: dict[str, int] = msgspec.field(default_factory=dict)
    """Number of jobs by status."""
    checked_at: datetime | None = None
    """The time of the last check of MLflow."""
    age_seconds: float | None = None
    mlflow_latency_ms: float | None = None
    timeout: TimeoutBounds | None = None
    """None from a service older than this client."""
    version: str
    timestamp: datetime


class Readiness(Record, frozen=True, kw_only=True):
    """The service's readiness: true if it accepts jobs, otherwise with the `reasons`."""

    ready: bool
    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.ready


class Reasons(Record, frozen=True, kw_only=True):
    """The reasons why the service accepts no jobs."""

    reasons: tuple[str, ...] = ()
