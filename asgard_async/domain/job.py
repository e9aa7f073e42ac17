"""What is known of a job. Standard library only; times are aware and UTC."""

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
    """For the API's documentation."""
    minimum: int | None = None
    """Of a number, or of the length of a text; so is the next."""
    maximum: int | None = None
    example: object = None


def accepted(
    description: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    example: object = None,
) -> dict[str, Accepted]:
    """Metadata of a field that the API accepts by these rules alone.

    Fields with other rules are declared in `api.schemas.submission`.
    """
    rules = Accepted(description=description, minimum=minimum, maximum=maximum, example=example)
    return {ACCEPTED: rules}


ACCEPTED = "accepted"


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What the user asked for, with defaults filled in. The script is stored separately.

    A new field needs a default, see `digest`, and no migration: it is stored as JSON.
    """

    script_name: str
    """The name of the script or of the archive."""
    experiment_name: str = field(
        metadata=accepted(
            "MLflow experiment of the job's runs.", minimum=1, maximum=500, example="churn"
        )
    )
    model_name: str
    script_sha256: str
    """Of the script, or of the archive."""
    entrypoint: str | None = None
    """The file of an archive that is run; None for a script."""
    requirements: tuple[str, ...] = ()
    environment_vars: Mapping[str, str] = field(default_factory=dict)
    timeout: int
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = field(
        default=0, metadata=accepted("Higher runs first.", minimum=-100, maximum=100)
    )
    warm: bool = field(
        default=True, metadata=accepted("false forces an interpreter of the job's own.")
    )
    memory_mb: int | None = None
    """None for the configured limit."""
    cpus: float | None = None
    """None for the configured limit."""

    @property
    def resources(self) -> ResourceRequest:
        """The resources that the job asks for."""
        return ResourceRequest(memory_mb=self.memory_mb, cpus=self.cpus)

    def digest(self) -> str:
        """SHA-256 of the fields: submissions with the same digest ask for the same job.

        A field outside of `FIRST_FIELDS` counts only if it differs from its default, so that
        digests from before there was such a field stay valid.
        """
        counted = {}
        for declared in fields(self):
            value = getattr(self, declared.name)
            if declared.name in FIRST_FIELDS or value != _default_of(declared):
                counted[declared.name] = value
        canonical = json.dumps(counted, sort_keys=True, ensure_ascii=True, default=_plain)
        return hashlib.sha256(canonical.encode()).hexdigest()


FIRST_FIELDS = frozenset(
    {
        *("script_name", "experiment_name", "model_name", "script_sha256", "requirements"),
        *("environment_vars", "timeout", "tags", "priority", "warm"),
    }
)
"""The fields that specifications had from the beginning. Never add to them: see `digest`."""


def _default_of(declared: Field[Any]) -> object:
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    return declared.default


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place in a specification")


@dataclass(frozen=True, kw_only=True)
class Started:
    """The start of an attempt's script."""

    at: datetime
    cold_reason: ColdReason | None = None
    """None when it started warm."""
    isolation: Isolation | None = None
    """What keeps it from harming others; None where that was not noted yet."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended. `exit_code` and `signal` exclude each other; both None if unknown."""

    reason: Reason
    exit_code: int | None = None
    signal: str | None = None
    """Name of the signal that ended the script, such as "SIGKILL"."""
    error: str | None = None
    """A sentence for a person; for a Python exception it ends with its last traceback line."""
    detail: str | None = None
    """How the reason was found, where that is not plain."""
    ended_at: datetime
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """An MLflow run that the job made."""

    run_id: str
    experiment_id: str
    name: str | None
    status: str
    """MLflow's: RUNNING, FINISHED, FAILED, KILLED, SCHEDULED."""
    started_at: datetime | None
    ended_at: datetime | None
    parent_run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobTracking:
    """What MLflow knows of a job."""

    run_id: str | None = None
    model_version: str | None = None
    runs: Sequence[JobRun] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the store has it. `seq` is its age: smaller is older."""

    seq: int
    job_id: str
    spec: JobSpec
    phase: Phase
    attempt: int = 0
    """Number of the latest attempt; 0 before the first."""
    created_at: datetime
    started: Started | None = None
    cancel_requested_at: datetime | None = None
    outcome: Outcome | None = None
    """Known from phase RECORDING on."""
    tracking: JobTracking = field(default_factory=JobTracking)
    tracking_pending: bool = False
    """Whether MLflow has still to be asked for the job's runs."""
    uses_tracking: bool = True
    """Whether the script may talk to MLflow: it imports more than the standard library."""
    imports: frozenset[str] | None = None
    """The packages that the program imports at most; None where that is not known."""
    retry_of: str | None = None
    submitted_by: str = ""
    """Name of the token that submitted it; empty while the API is open."""
    archive: str | None = None
    """The name of its archive in the archive store; None for a script."""

    @property
    def status(self) -> Status:
        return status_in(self.phase, self.outcome.reason if self.outcome else None)

    @property
    def started_at(self) -> datetime | None:
        """When the script of the present attempt began to run."""
        return self.started.at if self.started else None

    @property
    def start(self) -> Start | None:
        """How the present attempt started, if it has."""
        if self.started is None:
            return None
        return Start.WARM if self.started.cold_reason is None else Start.COLD

    @property
    def final_outcome(self) -> Outcome | None:
        """The outcome once the job is final, as clients see it."""
        return self.outcome if self.phase is Phase.FINISHED else None

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the script's start to its end, or None while that is open."""
        if self.started_at is None or self.outcome is None:
            return None
        return max(0.0, (self.outcome.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One move of a job."""

    status: Status
    phase: Phase
    at: datetime
    detail: str | None = None


def seconds_per_phase(history: Sequence[HistoryEntry], until: datetime) -> dict[str, float]:
    """Seconds spent in each phase, in the order of entering; the last one counts up to `until`."""
    timings: dict[str, float] = {}
    moments = [*(entry.at for entry in history), until]
    for entry, after in zip(history, moments[1:], strict=True):
        if entry.phase is not Phase.FINISHED:
            spent = max(0.0, (after - entry.at).total_seconds())
            timings[entry.phase] = round(timings.get(entry.phase, 0.0) + spent, 6)
    return timings
