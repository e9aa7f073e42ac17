"""Records of a job. All datetimes are timezone-aware and in UTC."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import datetime
from typing import Any

from asgard_async.domain.resources import ResourceRequest
from asgard_async.domain.status import ColdReason, Isolation, Phase, Reason, Start, Status
from asgard_async.domain.transitions import status_in


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The rules for a field of a submission."""

    description: str
    """Shown in the API's documentation."""
    minimum: int | None = None
    """The minimum of a number, or of the length of a text."""
    maximum: int | None = None
    """The maximum of a number, or of the length of a text."""
    example: object = None


NOTEBOOK_SUFFIX = ".ipynb"
NOTEBOOK_PACKAGES = ("ipykernel>=6.29", "nbclient>=0.10")
"""Requirements of the program that runs notebooks."""

Scalar = bool | int | float | str
"""The value of a parameter."""

ACCEPTED = "accepted"
"""The key of `Accepted` in a field's metadata."""


def accepted(
    description: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    example: object = None,
) -> dict[str, Accepted]:
    """Metadata for a field that needs no other rules.

    The API's schema, forms and documentation derive from it. Fields with more rules are declared in
    `api.schemas.submission`.
    """
    rules = Accepted(description=description, minimum=minimum, maximum=maximum, example=example)
    return {ACCEPTED: rules}


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """The user's request, with defaults filled in. The script is stored separately.

    A new field needs a default (see `digest`) but no migration, because the record is stored as
    JSON.
    """

    script_name: str
    """File name of the script or archive."""
    experiment_name: str = field(
        metadata=accepted(
            "MLflow experiment of the job's runs.", minimum=1, maximum=500, example="churn"
        )
    )
    model_name: str
    script_sha256: str
    """The digest of the script or of the archive."""
    entrypoint: str | None = None
    """The file of an archive to run; None for a script."""
    requirements: tuple[str, ...] = ()
    environment_vars: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)
    timeout: int
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = field(
        default=0,
        metadata=accepted("Jobs with a higher value start first.", minimum=-100, maximum=100),
    )
    warm: bool = field(
        default=True, metadata=accepted("false starts a new interpreter for the job.")
    )
    memory_mb: int | None = None
    """None to use the configured limit."""
    cpus: float | None = None
    """None to use the configured limit."""

    @property
    def resources(self) -> ResourceRequest:
        """The resources that the job requests."""
        return ResourceRequest(memory_mb=self.memory_mb, cpus=self.cpus)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The script's command-line arguments: `args`, and `--name=value` for each parameter."""
        return (
            *self.args,
            *(f"--{name}={argument_text(value)}" for name, value in self.params.items()),
        )

    @property
    def is_notebook(self) -> bool:
        """True if the program is a Jupyter notebook."""
        return is_notebook_name(self.entrypoint or self.script_name)

    @property
    def needed_requirements(self) -> tuple[str, ...]:
        """The requirements, and the packages that run a notebook."""
        if not self.is_notebook:
            return self.requirements
        return (*self.requirements, *NOTEBOOK_PACKAGES)

    def digest(self) -> str:
        """Return the SHA-256 of all fields; equal digests mean equal requests.

        Fields outside `FIRST_FIELDS` count only if they differ from their defaults, so digests
        computed before these fields were added remain valid.
        """
        content = {}
        for declared in fields(self):
            value = getattr(self, declared.name)
            if declared.name in FIRST_FIELDS or value != _default_of(declared):
                content[declared.name] = value
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, default=_plain)
        return hashlib.sha256(canonical.encode()).hexdigest()


FIRST_FIELDS = frozenset(
    {
        *("script_name", "experiment_name", "model_name", "script_sha256", "requirements"),
        *("environment_vars", "timeout", "tags", "priority", "warm"),
    }
)
"""The fields of the first version. Never add to this set; see `digest`."""


def is_notebook_name(path: str) -> bool:
    """Return whether a file is a notebook by its name."""
    return path.lower().endswith(NOTEBOOK_SUFFIX)


def _default_of(declared: Field[Any]) -> object:
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    return declared.default


def argument_text(value: Scalar) -> str:
    """Return the value of a parameter as a script gets it in its arguments."""
    return value if isinstance(value, str) else json.dumps(value)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be part of a specification")


@dataclass(frozen=True, kw_only=True)
class Started:
    """The start of an attempt's script."""

    at: datetime
    cold_reason: ColdReason | None = None
    """None if the job started warm."""
    isolation: Isolation | None = None
    """The isolation level of the attempt; None for starts before levels were recorded."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of an attempt.

    At most one of `exit_code` and `signal` is set; both are None if unknown.
    """

    reason: Reason
    exit_code: int | None = None
    signal: str | None = None
    """The name of the signal that ended the script, such as "SIGKILL"."""
    error: str | None = None
    """A sentence for people; for a Python exception it ends with the last traceback line."""
    detail: str | None = None
    """How the reason was determined, if that is not obvious."""
    ended_at: datetime
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """An MLflow run that the job created, resumed or wrote to."""

    run_id: str
    experiment_id: str
    name: str | None
    status: str
    """MLflow's status: RUNNING, FINISHED, FAILED, KILLED, SCHEDULED."""
    started_at: datetime | None
    ended_at: datetime | None
    parent_run_id: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """The last values of its metrics, recorded only for the job's run; None if not finite."""


@dataclass(frozen=True, kw_only=True)
class JobTracking:
    """MLflow's data about a job."""

    run_id: str | None = None
    model_version: str | None = None
    runs: Sequence[JobRun] = ()

    @property
    def run(self) -> JobRun | None:
        """The job's run; None without one."""
        return next((run for run in self.runs if run.run_id == self.run_id), None)

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The metrics of the job's run."""
        return self.run.metrics if self.run is not None else {}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as stored. Jobs are numbered by `seq` in order of creation."""

    seq: int
    job_id: str
    spec: JobSpec
    phase: Phase
    attempt: int = 0
    """The number of the latest attempt; 0 before the first."""
    created_at: datetime
    started: Started | None = None
    cancel_requested_at: datetime | None = None
    outcome: Outcome | None = None
    """Set from phase RECORDING on."""
    tracking: JobTracking = field(default_factory=JobTracking)
    tracking_pending: bool = False
    """True while the job's runs have not been read from MLflow."""
    uses_tracking: bool = True
    """True if the script may talk to MLflow: it imports more than the standard library."""
    imports: frozenset[str] | None = None
    """A superset of the packages that the program imports; None if unknown."""
    retry_of: str | None = None
    submitted_by: str = ""
    """Name of the token that submitted the job; empty if the API was open."""
    archive: str | None = None
    """Name of the job's archive in the archive store; None for a script."""

    @property
    def status(self) -> Status:
        return status_in(self.phase, self.outcome.reason if self.outcome else None)

    @property
    def started_at(self) -> datetime | None:
        """The start of the current attempt's script."""
        return self.started.at if self.started else None

    @property
    def start(self) -> Start | None:
        """The kind of start of the current attempt; None before it starts."""
        if self.started is None:
            return None
        return Start.WARM if self.started.cold_reason is None else Start.COLD

    @property
    def final_outcome(self) -> Outcome | None:
        """The outcome as clients see it: None until the job has finished."""
        return self.outcome if self.phase is Phase.FINISHED else None

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the script's start to its end; None before that."""
        if self.started_at is None or self.outcome is None:
            return None
        return max(0.0, (self.outcome.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One transition of a job."""

    status: Status
    phase: Phase
    at: datetime
    detail: str | None = None


def seconds_per_phase(history: Sequence[HistoryEntry], until: datetime) -> dict[str, float]:
    """Seconds spent in each phase, in order of entry; the last phase counts up to `until`."""
    timings: dict[str, float] = {}
    moments = [*(entry.at for entry in history), until]
    for entry, end in zip(history, moments[1:], strict=True):
        if entry.phase is not Phase.FINISHED:
            spent = max(0.0, (end - entry.at).total_seconds())
            timings[entry.phase] = round(timings.get(entry.phase, 0.0) + spent, 6)
    return timings
