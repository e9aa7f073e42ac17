"""Transitions of a job, inside a database transaction. Every phase change uses `move_job`."""

import sqlite3
from datetime import datetime
from typing import Any

from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.errors import JobNotFound
from asgard_async.domain.job import Job, Outcome, Started
from asgard_async.domain.status import Phase, Reason
from asgard_async.domain.transitions import TransitionRefused, sources_of, status_in
from asgard_async.store.database import queries
from asgard_async.store.rows import outcome_to_row, row_to_job, to_json


def _reason(conn: sqlite3.Connection, job_id: str) -> Reason | None:
    row = queries.get_reason(conn, job_id=job_id)
    return Reason(row["reason"]) if row is not None and row["reason"] is not None else None


def get_job(conn: sqlite3.Connection, job_id: str) -> Job:
    """The job with this id.

    Raises:
        JobNotFound: There is no such job.
    """
    row = queries.get_job(conn, job_id=job_id)
    if row is None:
        raise JobNotFound(job_id)
    return row_to_job(row)


def set_started(conn: sqlite3.Connection, job: Job, started: Started | None) -> None:
    """Record the start of the current attempt's script; None clears it."""
    queries.set_started(
        conn,
        seq=job.seq,
        started_at=rfc3339(started.at) if started else None,
        cold_reason=started.cold_reason if started else None,
        isolation=started.isolation if started else None,
    )


def move_job(
    conn: sqlite3.Connection,
    job_id: str,
    target: Phase,
    at: datetime,
    *,
    attempt: int | None = None,
    outcome: Outcome | None = None,
    tracking_pending: bool = False,
    detail: str | None = None,
) -> Job:
    """Move a job to another phase, guarded by the transition table, and record it in the history.

    Raises:
        TransitionRefused: The table does not allow the move, or the job is in another phase or
            attempt.
        JobNotFound: There is no such job.
    """
    reason = outcome.reason if outcome is not None else _reason(conn, job_id)
    if target is Phase.FINISHED and reason is None:
        raise TransitionRefused(job_id, get_job(conn, job_id).phase, target)
    guard: dict[str, Any] = {
        "job_id": job_id,
        "status": status_in(target, reason),
        "phase": target,
        "sources": to_json(sorted(sources_of(target))),
        "attempt": attempt,
    }
    if outcome is None:
        row = queries.move_job(conn, **guard)
    else:
        row = queries.move_with_outcome(
            conn, tracking_pending=int(tracking_pending), **guard, **outcome_to_row(outcome)
        )
    if row is None:
        raise TransitionRefused(job_id, get_job(conn, job_id).phase, target)
    job = row_to_job(row)
    queries.insert_history(
        conn,
        job_seq=job.seq,
        status=job.status,
        phase=target,
        at=rfc3339(at),
        detail=detail,
    )
    return job
