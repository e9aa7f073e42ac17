"""Jobs in the database. Every change of a job's phase goes through `_move`."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asgard_async.jobs.errors import (
    IdempotencyConflict,
    JobNotFinished,
    JobNotFound,
    QueueFull,
)
from asgard_async.jobs.record import HistoryEntry, Job, JobSpec, JobTracking, Outcome
from asgard_async.jobs.status import Phase, Reason, Status
from asgard_async.jobs.transitions import TransitionRefused, sources_of, status_in
from asgard_async.store.database import Database, queries
from asgard_async.store.rows import (
    outcome_to_row,
    row_to_history,
    row_to_job,
    spec_to_row,
    time_to_text,
    to_json,
)

IDEMPOTENCY_KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What is needed to accept a job."""

    spec: JobSpec
    script: bytes
    uses_tracking: bool
    submitted_by: str = ""
    idempotency_key: str | None = None
    retry_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs to list; None means any."""

    status: Status | None = None
    experiment_name: str | None = None
    model_name: str | None = None
    tag: tuple[str, str] | None = None
    created_after: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The last job of a page; the next page holds older ones."""

    created_at: datetime
    seq: int


class JobStore:
    """Queries and guarded changes of jobs; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- arriving -------------------------------------------------------------------------

    async def accept(
        self, new: NewJob, *, draw_id: Callable[[], str], max_queued: int, at: datetime
    ) -> tuple[Job, bool]:
        """Put a job into the queue; durable when this returns.

        Returns:
            The job, and False when it is the one that the idempotency key was first used for.

        Raises:
            IdempotencyConflict: the key was used for another submission, or its job is deleted.
            QueueFull: `max_queued` jobs wait already.
        """

        def transaction(conn: sqlite3.Connection) -> tuple[Job, bool]:
            if new.idempotency_key is not None and (first := _first_use(conn, new)) is not None:
                return first, False
            if _counts(conn)[Status.QUEUED] >= max_queued:
                raise QueueFull(max_queued)
            return _insert(conn, new, draw_id, at), True

        return await self._database.write(transaction)

    async def find_twin(self, owner: str, key: str, spec_digest: str) -> Job | None:
        """The job that an idempotency key stands for, or None for a new key.

        Raises:
            IdempotencyConflict: as `accept`.
        """
        return await self._database.read(lambda conn: _find_twin(conn, owner, key, spec_digest))

    # --- moving ---------------------------------------------------------------------------

    async def claim_next(self, at: datetime) -> Job | None:
        """Take the next job out of the queue into STARTING, under the number of a new attempt."""

        def transaction(conn: sqlite3.Connection) -> Job | None:
            row = queries.next_in_queue(conn)
            if row is None:
                return None
            queries.set_attempt(conn, seq=row["seq"], attempt=row["attempt"] + 1)
            return _move(conn, row["job_id"], Phase.STARTING, at)

        return await self._database.write(transaction)

    async def move(
        self,
        job_id: str,
        target: Phase,
        *,
        at: datetime,
        attempt: int,
        detail: str | None = None,
        started_at: datetime | None = None,
    ) -> Job:
        """Move a job whose present attempt is `attempt`.

        Raises:
            TransitionRefused: the table has no such move, or the job is elsewhere.
        """

        def transaction(conn: sqlite3.Connection) -> Job:
            job = _move(conn, job_id, target, at, attempt=attempt, detail=detail)
            if started_at is not None or target is Phase.QUEUED:
                text = time_to_text(started_at) if started_at is not None else None
                queries.set_started(conn, seq=job.seq, started_at=text)
            return _get(conn, job_id)

        return await self._database.write(transaction)

    async def end(
        self,
        job_id: str,
        target: Phase,
        outcome: Outcome,
        *,
        at: datetime,
        attempt: int | None = None,
        started_at: datetime | None = None,
        tracking_pending: bool = False,
    ) -> Job:
        """Record how a job ended and move it into RECORDING or FINISHED.

        Raises:
            TransitionRefused: as `move`.
        """

        def transaction(conn: sqlite3.Connection) -> Job:
            job = _move(
                conn,
                job_id,
                target,
                at,
                attempt=attempt,
                outcome=outcome,
                tracking_pending=tracking_pending,
                detail=outcome.detail,
            )
            if started_at is not None and job.started_at is None:
                queries.set_started(conn, seq=job.seq, started_at=time_to_text(started_at))
            return _get(conn, job_id)

        return await self._database.write(transaction)

    async def finish(self, job_id: str, *, at: datetime) -> Job:
        """Make a job in RECORDING final.

        Raises:
            TransitionRefused: it is not in RECORDING.
        """
        return await self._database.write(lambda conn: _move(conn, job_id, Phase.FINISHED, at))

    async def request_cancel(self, job_id: str, *, at: datetime) -> Job:
        """Cancel a queued job at once; note the wish for one that has left the queue.

        A running one goes to STOPPING; one that has ended stays as it is.

        Raises:
            JobNotFound: there is no such job.
        """

        def transaction(conn: sqlite3.Connection) -> Job:
            job = _get(conn, job_id)
            if job.phase in {Phase.RECORDING, Phase.FINISHED}:
                return job
            queries.set_cancel_requested(conn, seq=job.seq, at=time_to_text(at))
            if job.phase is Phase.QUEUED:
                outcome = Outcome(reason=Reason.CANCELLED, error=CANCELLED_IN_QUEUE, ended_at=at)
                return _move(conn, job_id, Phase.FINISHED, at, outcome=outcome)
            if job.phase in sources_of(Phase.STOPPING):
                return _move(conn, job_id, Phase.STOPPING, at, detail="cancel requested")
            return _get(conn, job_id)

        return await self._database.write(transaction)

    async def set_tracking(
        self, job_id: str, tracking: JobTracking, *, problem: str | None = None
    ) -> None:
        """Note what MLflow knows of a job, and what could not be recorded; nothing is pending
        then."""
        await self._database.write(
            lambda conn: queries.set_tracking(
                conn,
                job_id=job_id,
                run_id=tracking.run_id,
                model_version=tracking.model_version,
                runs=to_json(tracking.runs),
                problem=problem,
            )
        )

    async def delete(self, job_id: str) -> None:
        """Forget a finished job; its id is never given again.

        Raises:
            JobNotFound: there is no such job.
            JobNotFinished: it has not ended.
        """

        def transaction(conn: sqlite3.Connection) -> None:
            job = _get(conn, job_id)
            if queries.delete_job(conn, job_id=job_id) != 1:
                raise JobNotFinished(job.job_id)

        await self._database.write(transaction)

    async def purge_idempotency_keys(self, *, at: datetime) -> int:
        """Forget keys whose job is gone and that are older than 24 h; return how many."""
        before = time_to_text(at - IDEMPOTENCY_KEPT)
        purged: int = await self._database.write(
            lambda conn: queries.purge_keys(conn, created_before=before)
        )
        return purged

    # --- reading --------------------------------------------------------------------------

    async def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFound: there is no such job.
        """
        return await self._database.read(lambda conn: _get(conn, job_id))

    async def list(
        self, only: JobFilter, *, after: Cursor | None = None, limit: int
    ) -> Sequence[Job]:
        """At most `limit` jobs, newest first, from the one after the cursor on."""
        sql, parameters = _list_statement(only, after, limit)
        return await self._database.read(
            lambda conn: [row_to_job(row) for row in conn.execute(sql, parameters)]
        )

    async def history(self, job_id: str) -> Sequence[HistoryEntry]:
        """All moves of a job, first to last."""
        return await self._database.read(
            lambda conn: [row_to_history(row) for row in queries.get_history(conn, job_id=job_id)]
        )

    async def script(self, job_id: str) -> bytes:
        """The script as it was uploaded.

        Raises:
            JobNotFound: there is no such job.
        """

        def transaction(conn: sqlite3.Connection) -> bytes:
            row = queries.get_script(conn, job_id=job_id)
            if row is None:
                raise JobNotFound(job_id)
            return bytes(row["content"])

        return await self._database.read(transaction)

    async def queue_position(self, job: Job) -> int | None:
        """1 for the job that runs next; None when the job does not wait."""
        if job.phase is not Phase.QUEUED:
            return None

        def transaction(conn: sqlite3.Connection) -> int:
            row = queries.queue_position(conn, priority=job.spec.priority, seq=job.seq)
            return int(row["position"])

        return await self._database.read(transaction)

    async def counts(self) -> dict[Status, int]:
        """How many jobs are in each status."""
        return await self._database.read(_counts)

    async def unfinished(self) -> Sequence[Job]:
        """Jobs between queue and end, oldest first."""
        return await self._database.read(
            lambda conn: [row_to_job(row) for row in queries.unfinished(conn)]
        )

    async def to_track(self, limit: int) -> Sequence[Job]:
        """The oldest jobs whose MLflow runs are not known yet."""
        return await self._database.read(
            lambda conn: [row_to_job(row) for row in queries.to_track(conn, limit=limit)]
        )

    async def queued_since_before(self, moment: datetime) -> Sequence[Job]:
        """Jobs that have waited in the queue since before `moment`, oldest first."""
        text = time_to_text(moment)
        return await self._database.read(
            lambda conn: [row_to_job(row) for row in queries.queued_before(conn, created_at=text)]
        )

    async def oldest_queued_at(self) -> datetime | None:
        """When the job that has waited longest was created."""

        def transaction(conn: sqlite3.Connection) -> datetime | None:
            text = queries.oldest_queued(conn)["created_at"]
            return datetime.fromisoformat(text) if text is not None else None

        return await self._database.read(transaction)

    async def all_job_ids(self) -> frozenset[str]:
        """Every job that exists."""
        return await self._database.read(
            lambda conn: frozenset(row["job_id"] for row in queries.all_job_ids(conn))
        )

    async def server_id(self) -> str:
        """The id that marks this server's MLflow runs; made with the database."""
        return await self._database.read(lambda conn: str(queries.server_id(conn)["value"]))


CANCELLED_IN_QUEUE = "The job was cancelled before it started."


def _reason(conn: sqlite3.Connection, job_id: str) -> Reason | None:
    row = queries.get_reason(conn, job_id=job_id)
    return Reason(row["reason"]) if row is not None and row["reason"] is not None else None


def _get(conn: sqlite3.Connection, job_id: str) -> Job:
    row = queries.get_job(conn, job_id=job_id)
    if row is None:
        raise JobNotFound(job_id)
    return row_to_job(row)


def _counts(conn: sqlite3.Connection) -> dict[Status, int]:
    return {Status(row["status"]): row["jobs"] for row in queries.counts(conn)}


def _first_use(conn: sqlite3.Connection, new: NewJob) -> Job | None:
    assert new.idempotency_key is not None  # noqa: S101  # the caller looked
    return _find_twin(conn, new.submitted_by, new.idempotency_key, new.spec.digest())


def _find_twin(conn: sqlite3.Connection, owner: str, key: str, spec_digest: str) -> Job | None:
    row = queries.find_key(conn, owner=owner, key=key)
    if row is None:
        return None
    if row["spec_digest"] != spec_digest:
        raise IdempotencyConflict(
            f"The idempotency key was used for job {row['job_id']}, which asked for something"
            " else; use a new key for a new submission."
        )
    try:
        return _get(conn, row["job_id"])
    except JobNotFound:
        raise IdempotencyConflict(
            f"The idempotency key was used for job {row['job_id']}, which has been deleted;"
            " use a new key to run it again."
        ) from None


def _insert(conn: sqlite3.Connection, new: NewJob, draw_id: Callable[[], str], at: datetime) -> Job:
    job_id = draw_id()
    while queries.job_id_taken(conn, job_id=job_id) is not None:
        job_id = draw_id()
    created_at = time_to_text(at)
    seq = queries.insert_job(
        conn,
        job_id=job_id,
        uses_tracking=int(new.uses_tracking),
        retry_of=new.retry_of,
        submitted_by=new.submitted_by,
        created_at=created_at,
        **spec_to_row(new.spec),
    )
    queries.insert_script(conn, job_seq=seq, content=new.script)
    for key, value in new.spec.tags.items():
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
    _note(conn, seq, Status.QUEUED, Phase.QUEUED, created_at, None)
    return Job(
        seq=seq,
        job_id=job_id,
        spec=new.spec,
        phase=Phase.QUEUED,
        created_at=at,
        uses_tracking=new.uses_tracking,
        retry_of=new.retry_of,
        submitted_by=new.submitted_by,
    )


def _move(
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
    """The one way from phase to phase: guarded by the table, noted in the history."""
    reason = outcome.reason if outcome is not None else _reason(conn, job_id)
    if target is Phase.FINISHED and reason is None:
        raise TransitionRefused(job_id, _get(conn, job_id).phase, target)
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
        raise TransitionRefused(job_id, _get(conn, job_id).phase, target)
    job = row_to_job(row)
    _note(conn, job.seq, job.status, target, time_to_text(at), detail)
    return job


def _note(
    conn: sqlite3.Connection,
    job_seq: int,
    status: Status,
    phase: Phase,
    at: str,
    detail: str | None,
) -> None:
    queries.insert_history(conn, job_seq=job_seq, status=status, phase=phase, at=at, detail=detail)


def _list_statement(
    only: JobFilter, after: Cursor | None, limit: int
) -> tuple[str, dict[str, Any]]:
    # Each filter has an index that ends in created_at, so a page is read from it in order,
    # however many jobs there are. A tag's index leads; the other tables then follow by rowid.
    source, age = "jobs", "jobs.created_at"
    conditions, parameters = ["TRUE"], dict[str, Any](limit=limit)
    if only.tag is not None:
        source = "job_tags CROSS JOIN jobs ON jobs.seq = job_tags.job_seq"
        age = "job_tags.created_at"
        conditions.append("job_tags.key = :tag_key AND job_tags.value = :tag_value")
        parameters["tag_key"], parameters["tag_value"] = only.tag
    seq = "job_tags.job_seq" if only.tag is not None else "jobs.seq"
    for column in ("status", "experiment_name", "model_name"):
        if (value := getattr(only, column)) is not None:
            conditions.append(f"jobs.{column} = :{column}")
            parameters[column] = value
    if only.created_after is not None:
        conditions.append(f"{age} > :created_after")
        parameters["created_after"] = time_to_text(only.created_after)
    if after is not None:
        conditions.append(f"({age}, {seq}) < (:after_created_at, :after_seq)")
        parameters["after_created_at"] = time_to_text(after.created_at)
        parameters["after_seq"] = after.seq
    sql = (
        f"SELECT jobs.* FROM {source} WHERE {' AND '.join(conditions)}"  # noqa: S608  # fixed words
        f" ORDER BY {age} DESC, {seq} DESC LIMIT :limit"
    )
    return sql, parameters
