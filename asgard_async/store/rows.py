"""Conversion between rows and records."""

import sqlite3
from datetime import datetime
from typing import Any

import msgspec

from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.job import (
    HistoryEntry,
    Job,
    JobRun,
    JobSpec,
    JobTracking,
    Outcome,
    Started,
)
from asgard_async.domain.status import ColdReason, Isolation, Phase, Reason, Status

_decode_spec = msgspec.json.Decoder(JobSpec).decode
"""Gives missing fields their defaults: they were added after the row was written."""
_decode_runs = msgspec.json.Decoder(tuple[JobRun, ...]).decode
_decode_imports = msgspec.json.Decoder(frozenset[str]).decode


def text_to_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def spec_to_row(spec: JobSpec, *, is_global: bool = True) -> dict[str, Any]:
    """The columns of a specification: all of it as JSON, and copies of what indexes need.

    Unless `is_global`, a priority above 0 counts only among the jobs of the same owner.
    """
    return {
        "spec": to_json(spec),
        "experiment_name": spec.experiment_name,
        "model_name": spec.model_name,
        "priority": spec.priority,
        "queue_priority": spec.priority if is_global else min(spec.priority, 0),
    }


def outcome_to_row(outcome: Outcome) -> dict[str, Any]:
    """The columns of an outcome."""
    return {
        "reason": outcome.reason,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "error": outcome.error,
        "detail": outcome.detail,
        "ended_at": rfc3339(outcome.ended_at),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "cpu_seconds": outcome.cpu_seconds,
    }


def row_to_job(row: sqlite3.Row) -> Job:
    """The job in a row of `jobs`."""
    return Job(
        seq=row["seq"],
        job_id=row["job_id"],
        spec=_decode_spec(row["spec"]),
        phase=Phase(row["phase"]),
        attempt=row["attempt"],
        created_at=_time(row["created_at"]),
        started=_row_to_started(row) if row["started_at"] is not None else None,
        cancel_requested_at=text_to_time(row["cancel_requested_at"]),
        outcome=_row_to_outcome(row) if row["reason"] is not None else None,
        tracking=JobTracking(
            run_id=row["run_id"],
            model_version=row["model_version"],
            runs=_decode_runs(row["runs"]),
        ),
        tracking_pending=bool(row["tracking_pending"]),
        uses_tracking=bool(row["uses_tracking"]),
        imports=(_decode_imports(row["imports"]) if row["imports"] is not None else None),
        retry_of=row["retry_of"],
        submitted_by=row["submitted_by"],
        archive=row["archive"],
    )


def _row_to_started(row: sqlite3.Row) -> Started:
    reason, isolation = row["cold_reason"], row["isolation"]
    return Started(
        at=_time(row["started_at"]),
        cold_reason=ColdReason(reason) if reason is not None else None,
        isolation=Isolation(isolation) if isolation is not None else None,
    )


def _row_to_outcome(row: sqlite3.Row) -> Outcome:
    return Outcome(
        reason=Reason(row["reason"]),
        exit_code=row["exit_code"],
        signal=row["signal"],
        error=row["error"],
        detail=row["detail"],
        ended_at=_time(row["ended_at"]),
        peak_memory_bytes=row["peak_memory_bytes"],
        cpu_seconds=row["cpu_seconds"],
    )


def row_to_history(row: sqlite3.Row) -> HistoryEntry:
    """The transition in a row of `job_history`."""
    return HistoryEntry(
        status=Status(row["status"]),
        phase=Phase(row["phase"]),
        at=_time(row["at"]),
        detail=row["detail"],
    )
