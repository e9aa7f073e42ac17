"""Jobs in the database. Every change of a job's phase goes through `_move`."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from asgard_async.jobs.errors import (
    JobNotFinished,
    JobNotFound,
    QueueFull,
)
from asgard_async.jobs.record import HistoryEntry, Job, JobSpec, JobTracking, Outcome, Started
from asgard_async.jobs.status import Phase, Reason, Status
from asgard_async.jobs.transitions import TransitionRefused, sources_of, status_in
from asgard_async.store.accepting import NewJob, find_twin, insert_job
from asgard_async.store.changes import JobChanges
from asgard_async.store.database import Database, queries
from asgard_async.store.listing import Cursor, JobFilter, list_statement
from asgard_async.store.rows import (
    outcome_to_row,
    row_to_history,
    row_to_job,
    time_to_text,
    to_json,
)

T = TypeVar("T")

IDEMPOTENCY_KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """What has to be known of a job to throw something of it away."""

    job_id: str
    ended_at: datetime
    is_recorded: bool
    archive: str | None


class JobStore:
    """Queries and guarded changes of jobs; each method is one transaction.

    `on_end` is called once with each job that has ended, when that is durable.
    """

    def __init__(
        self, database: Database, *, on_end: Callable[[Job], None] = lambda job: None
    ) -> None:
        self._database = database
        self._on_end = on_end
        self.changes = JobChanges()
        self._counts: dict[Status, int] | None = None

    async def _change(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a write transaction, and keep the counts that it leaves."""

        def transaction(conn: sqlite3.Connection) -> tuple[T, dict[Status, int]]:
            return function(conn), _counts(conn)

        result, self._counts = await self._database.write(transaction)
        return result

    async def _change_job(self, function: Callable[[sqlite3.Connection], Job]) -> Job:
        """Run a write transaction on a job, and tell those who watch it."""
        job = await self._change(function)
        self.changes.publish(job.job_id)
        return job

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
            if new.idempotency_key is not None:
                twin = find_twin(conn, new.submitted_by, new.idempotency_key, new.spec.digest())
                if twin is not None:
                    return twin, False
            if _counts(conn)[Status.QUEUED] >= max_queued:
                raise QueueFull(max_queued)
            return insert_job(conn, new, draw_id, at), True

        job, is_new = await self._change(transaction)
        self.changes.publish(job.job_id)
        return job, is_new

    async def find_twin(self, owner: str, key: str, spec_digest: str) -> Job | None:
        """The job that an idempotency key stands for, or None for a new key.

        Raises:
            IdempotencyConflict: as `accept`.
        """
        return await self._database.read(lambda conn: find_twin(conn, owner, key, spec_digest))

    # --- moving ---------------------------------------------------------------------------

    async def claim_next(
        self, at: datetime, first_phase: Callable[[JobSpec], Phase] = lambda _: Phase.STARTING
    ) -> Job | None:
        """Take the next job out of the queue into its first phase, under a new attempt's number.

        `first_phase` is called in the connection's thread.
        """

        def transaction(conn: sqlite3.Connection) -> Job | None:
            row = queries.next_in_queue(conn)
            if row is None:
                return None
            queries.set_attempt(conn, seq=row["seq"], attempt=row["attempt"] + 1)
            return _move(conn, row["job_id"], first_phase(row_to_job(row).spec), at)

        job = await self._change(transaction)
        if job is not None:
            self.changes.publish(job.job_id)
        return job

    async def move(
        self,
        job_id: str,
        target: Phase,
        *,
        at: datetime,
        attempt: int,
        detail: str | None = None,
        started: Started | None = None,
    ) -> Job:
        """Move a job whose present attempt is `attempt`.

        Raises:
            TransitionRefused: the table has no such move, or the job is elsewhere.
        """

        def transaction(conn: sqlite3.Connection) -> Job:
            job = _move(conn, job_id, target, at, attempt=attempt, detail=detail)
            if started is not None or target is Phase.QUEUED:
                _set_started(conn, job, started)
            return _get(conn, job_id)

        return await self._change_job(transaction)

    async def end(
        self,
        job_id: str,
        target: Phase,
        outcome: Outcome,
        *,
        at: datetime,
        attempt: int | None = None,
        started: Started | None = None,
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
            if started is not None and job.started is None:
                _set_started(conn, job, started)
            return _get(conn, job_id)

        job = await self._change_job(transaction)
        self._on_end(job)
        return job

    async def finish(self, job_id: str, *, at: datetime) -> Job:
        """Make a job in RECORDING final.

        Raises:
            TransitionRefused: it is not in RECORDING.
        """
        return await self._change_job(lambda conn: _move(conn, job_id, Phase.FINISHED, at))

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

        job = await self._change_job(transaction)
        if job.outcome is not None and job.outcome.ended_at == at:
            self._on_end(job)  # just now, in the queue
        return job

    async def set_tracking(
        self, job_id: str, tracking: JobTracking, *, problem: str | None = None
    ) -> None:
        """Note what MLflow knows of a job, and what could not be recorded; nothing is pending
        then."""
        await self._change(
            lambda conn: queries.set_tracking(
                conn,
                job_id=job_id,
                run_id=tracking.run_id,
                model_version=tracking.model_version,
                runs=to_json(tracking.runs),
                problem=problem,
            )
        )
        self.changes.publish(job_id)

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

        await self._change(transaction)
        self.changes.publish(job_id)

    async def purge_idempotency_keys(self, *, at: datetime) -> int:
        """Forget keys whose job is gone and that are older than 24 h; return how many."""
        before = time_to_text(at - IDEMPOTENCY_KEPT)
        purged: int = await self._change(
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
        sql, parameters = list_statement(only, after, limit)
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
            JobNotFound: there is no such job, or it has an archive instead.
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
        """How many jobs are in each status, from memory: nobody else changes them."""
        if self._counts is None:
            self._counts = await self._database.read(_counts)
        return self._counts

    async def unfinished_by_phase(self) -> dict[Phase, int]:
        """How many jobs are in each phase but FINISHED; none where there are none."""
        rows = await self._database.read(lambda conn: list(queries.unfinished_by_phase(conn)))
        return {Phase(row["phase"]): row["jobs"] for row in rows}

    async def unfinished(self) -> Sequence[Job]:
        """Jobs between queue and end, oldest first."""
        return await self._database.read(
            lambda conn: [row_to_job(row) for row in queries.unfinished(conn)]
        )

    async def to_track(self, limit: int, *, after: int = 0) -> Sequence[Job]:
        """The oldest jobs whose MLflow runs are not known yet, from the one after that `seq` on."""
        return await self._database.read(
            lambda conn: [
                row_to_job(row) for row in queries.to_track(conn, after=after, limit=limit)
            ]
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

    async def all_archives(self) -> frozenset[str]:
        """Every archive that a job has."""
        return await self._database.read(
            lambda conn: frozenset(row["archive"] for row in queries.all_archives(conn))
        )

    async def ended(self) -> Sequence[EndedJob]:
        """Every job that has ended, also where MLflow has not told its runs yet."""
        return await self._database.read(
            lambda conn: [
                EndedJob(
                    job_id=row["job_id"],
                    ended_at=datetime.fromisoformat(row["ended_at"]),
                    is_recorded=not row["tracking_pending"],
                    archive=row["archive"],
                )
                for row in queries.ended(conn)
            ]
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


def _set_started(conn: sqlite3.Connection, job: Job, started: Started | None) -> None:
    queries.set_started(
        conn,
        seq=job.seq,
        started_at=time_to_text(started.at) if started else None,
        cold_reason=started.cold_reason if started else None,
        isolation=started.isolation if started else None,
    )


def _counts(conn: sqlite3.Connection) -> dict[Status, int]:
    return {Status(row["status"]): row["jobs"] for row in queries.counts(conn)}


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
    queries.insert_history(
        conn,
        job_seq=job.seq,
        status=job.status,
        phase=target,
        at=time_to_text(at),
        detail=detail,
    )
    return job
