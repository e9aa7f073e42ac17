"""Jobs as the service returns them. Fields added by a newer service are ignored."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from html import escape

import msgspec


class Status(StrEnum):
    """The status of a job. A job that is not cancelled ends as COMPLETED or FAILED."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """True if the status is final."""
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable record that the service returned."""


class Run(Record, frozen=True, kw_only=True):
    """An MLflow run that a job created."""

    run_id: str
    experiment_id: str
    name: str | None = None
    status: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parent_run_id: str | None = None


class HistoryEntry(Record, frozen=True, kw_only=True):
    """One transition of a job."""

    status: Status
    phase: str
    at: datetime
    detail: str | None = None


class Resources(Record, frozen=True, kw_only=True):
    """The resources that a job has used; None if unknown."""

    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None


class RequestedLimits(Record, frozen=True, kw_only=True):
    """The limits that a job requested; None means the configured limit."""

    memory_mb: int | None = None
    cpus: float | None = None


class Specification(Record, frozen=True, kw_only=True):
    """The specification that a job was submitted with."""

    script_name: str
    experiment_name: str
    model_name: str
    entrypoint: str | None = None
    requirements: tuple[str, ...] = ()
    environment_vars: dict[str, str | None] = msgspec.field(default_factory=dict)
    """The values are None in the job of another token."""
    args: tuple[str, ...] = ()
    params: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    timeout: int | None = None
    priority: int = 0
    warm: bool = True


class Job(Specification, frozen=True, kw_only=True):
    """A job.

    Jobs in lists have a short form: only the three names, `args` and `params` from `Specification`,
    and no fields after `reason`. Datetimes are aware, in UTC.

    `phase` is one of queued, environment, starting, running, stopping, recording, finished. Only a
    finished job has a `reason`, such as succeeded, exit_code or timeout. A newer service may add
    values to both; docs/api.md lists them.
    """

    job_id: str
    status: Status
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    run_id: str | None = None
    model_version: str | None = None
    error: str | None = None
    retry_of: str | None = None
    submitted_by: str | None = None
    """The name of the token that the job was submitted with."""
    phase: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    """The signal that ended the script, such as "SIGKILL"."""
    duration_seconds: float | None = None
    timings: dict[str, float] = msgspec.field(default_factory=dict)
    """Seconds in each phase."""
    queue_position: int | None = None
    runs: tuple[Run, ...] = ()
    run_url: str | None = None
    """The page of the run `run_id` in MLflow."""
    metrics: dict[str, float | None] = msgspec.field(default_factory=dict)
    """The last values of the metrics of the run `run_id`, once the job has finished; None stands
    for a value that is not finite."""
    start: str | None = None
    """The kind of start, "warm" or "cold"; None before the first start."""
    cold_reason: str | None = None
    """The reason for a cold start."""
    isolation: str | None = None
    """The isolation level of the latest attempt; None before the first start."""
    resources: Resources = Resources()
    limits: RequestedLimits = RequestedLimits()
    history: tuple[HistoryEntry, ...] = ()
    omitted: tuple[str, ...] = ()
    """Set only by `retry`: fields of the original job that this one lacks."""
    log_kept: bool = True
    """False if the log is no longer stored, so that `logs` is empty."""
    logs: str | None = None
    """The log or its end, if requested; invalid UTF-8 becomes U+FFFD."""

    @property
    def is_finished(self) -> bool:
        """True if the job has ended, whatever its outcome."""
        return self.status.is_finished

    @property
    def succeeded(self) -> bool:
        """True if the job has completed."""
        return self.status is Status.COMPLETED

    def __repr__(self) -> str:
        reason = f", {self.reason}" if self.reason and self.reason != "succeeded" else ""
        return f"<Job {self.job_id} {self.script_name!r} {self.status}{reason}>"

    def _repr_html_(self) -> str:
        """Return a small HTML table for notebooks, with every value escaped."""
        fields: dict[str, object] = {
            "job": self.job_id,
            "status": f"{self.status} ({self.reason or self.phase})"
            if self.reason or self.phase
            else self.status,
            "script": self.script_name,
            "experiment": self.experiment_name,
            "model": self.model_name
            + (f", version {self.model_version}" if self.model_version else ""),
            "run": self.run_id,
            "metrics": metrics_text(self.metrics),
            "seconds": None if self.duration_seconds is None else f"{self.duration_seconds:.1f}",
            "error": self.error,
        }
        rows = (
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left;white-space:pre-wrap">{escape(str(value))}</td></tr>'
            for name, value in fields.items()
            if value is not None
        )
        return f"<table>{''.join(rows)}</table>"


class JobPage(Record, frozen=True, kw_only=True):
    """A page of a job list."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = None


MAX_METRICS_SHOWN = 12


def metrics_text(metrics: Mapping[str, float | None]) -> str | None:
    """Return the first metrics in one line; None if there are none."""
    texts = [
        f"{name} = {'nan' if value is None else format(value, '.6g')}"
        for name, value in metrics.items()
    ]
    if len(texts) > MAX_METRICS_SHOWN:
        texts[MAX_METRICS_SHOWN:] = [f"and {len(texts) - MAX_METRICS_SHOWN} more"]
    return ", ".join(texts) or None


def id_of(job: Job | str) -> str:
    """Return the id of a job that was passed as a `Job` or as an id."""
    return job.job_id if isinstance(job, Job) else job
