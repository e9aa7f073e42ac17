"""Insertion of a new job: its row, script, tags and idempotency key."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.errors import IdempotencyConflict
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase, Status
from asgard_async.store.database import queries
from asgard_async.store.filterable import filterable
from asgard_async.store.rows import row_to_job, spec_to_row, to_json


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """The data of a job to accept."""

    spec: JobSpec
    script: bytes | None
    """None for an archive."""
    archive: str | None = None
    """The name of a durable archive in the archive store."""
    uses_tracking: bool
    imports: frozenset[str] | None = None
    submitted_by: str = ""
    idempotency_key: str | None = None
    retry_of: str | None = None
    has_global_priority: bool = True
    """False if a priority above 0 counts only among the jobs of the same owner."""
    detail: str | None = None
    """A remark for the first entry of the job's history."""


def find_twin(conn: sqlite3.Connection, owner: str, key: str, spec_digest: str) -> Job | None:
    """The transaction of `JobStore.find_twin`."""
    row = queries.find_key(conn, owner=owner, key=key)
    if row is None:
        return None
    if row["spec_digest"] != spec_digest:
        raise IdempotencyConflict(
            f"The idempotency key was used for job {row['job_id']} with another submission; use a"
            " new key for a new submission."
        )
    job = queries.get_job(conn, job_id=row["job_id"])
    if job is None:
        raise IdempotencyConflict(
            f"The idempotency key was used for job {row['job_id']}, which was deleted; use a new"
            " key to run it again."
        )
    return row_to_job(job)


def insert_job(
    conn: sqlite3.Connection, new: NewJob, draw_id: Callable[[], str], at: datetime
) -> Job:
    """Append a new job to the queue, under the first drawn id that was never used."""
    job_id = draw_id()
    while queries.job_id_taken(conn, job_id=job_id) is not None:
        job_id = draw_id()
    created_at = rfc3339(at)
    seq = queries.insert_job(
        conn,
        job_id=job_id,
        uses_tracking=int(new.uses_tracking),
        retry_of=new.retry_of,
        submitted_by=new.submitted_by,
        archive=new.archive,
        imports=to_json(sorted(new.imports)) if new.imports is not None else None,
        created_at=created_at,
        **spec_to_row(new.spec, is_global=new.has_global_priority),
    )
    if new.script is not None:
        queries.insert_script(conn, job_seq=seq, content=new.script)
    for key, value in filterable(new.spec):
        queries.insert_tag(conn, key=key, value=value, created_at=created_at, job_seq=seq)
    if new.idempotency_key is not None:
        queries.insert_key(
            conn,
            owner=new.submitted_by,
            key=new.idempotency_key,
            spec_digest=new.spec.digest(),
            job_id=job_id,
            created_at=created_at,
        )
    queries.insert_history(
        conn,
        job_seq=seq,
        status=Status.QUEUED,
        phase=Phase.QUEUED,
        at=created_at,
        detail=new.detail,
    )
    return Job(
        seq=seq,
        job_id=job_id,
        spec=new.spec,
        phase=Phase.QUEUED,
        created_at=at,
        uses_tracking=new.uses_tracking,
        imports=new.imports,
        retry_of=new.retry_of,
        submitted_by=new.submitted_by,
        archive=new.archive,
    )
