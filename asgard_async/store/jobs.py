"""The job store: queries and every change of a job."""

import math
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.errors import JobNotFinished, QueueFull, QueueShareUsed
from asgard_async.domain.job import Job, JobSpec, JobTracking, Outcome, Started
from asgard_async.domain.status import Phase, Reason, Status
from asgard_async.domain.transitions import sources_of
from asgard_async.store.accepting import NewJob, find_twin, insert_job
from asgard_async.store.changes import JobChanges
from asgard_async.store.database import Database, queries
from asgard_async.store.lookups import JobLookups
from asgard_async.store.moves import get_job, move_job, set_started
from asgard_async.store.rows import row_to_job, to_json

T = TypeVar("T")

IDEMPOTENCY_KEPT = timedelta(hours=24)
COUNTS_SECONDS = 5.0
"""The time for which unchanged counts are reused: `asgard gc` deletes jobs in another process."""
CANCELLED_IN_QUEUE = "The job was cancelled before it started."


class JobStore(JobLookups):
    """Queries and guarded changes of jobs; each method is one transaction.

    `on_end` is called once for each job that ends, after the commit.
    """

    def __init__(
        self, database: Database, *, on_end: Callable[[Job], None] = lambda job: None
    ) -> None:
        super().__init__(database)
        self._on_end = on_end
        self.changes = JobChanges()
        self._counts: dict[Status, int] = {}
        self._counted_at = -math.inf

    async def _change(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a write transaction and cache the resulting counts."""
        return await self._change_counted(lambda conn: (function(conn), _counts(conn)))

    async def _change_counted(
        self, transaction: Callable[[sqlite3.Connection], tuple[T, dict[Status, int]]]
    ) -> T:
        """Run a write transaction that also returns the resulting counts; cache them."""
        result, counts = await self._database.write(transaction)
        self._keep(counts)
        return result

    def _keep(self, counts: dict[Status, int]) -> None:
        self._counts, self._counted_at = counts, time.monotonic()

    async def _change_job(self, function: Callable[[sqlite3.Connection], Job]) -> Job:
        """Run a write transaction on a job and publish the change."""
        job = await self._change(function)
        self.changes.publish(job.job_id)
        return job

    # --- accepting ------------------------------------------------------------------------

    async def accept(
        self,
        new: NewJob,
        *,
        draw_id: Callable[[], str],
        max_queued: int,
        max_queued_of_owner: int | None = None,
        at: datetime,
    ) -> tuple[Job, bool]:
        """Append a job to the queue; durable on return.

        Returns:
            The job and True, or the job of the idempotency key's first use and False.

        Raises:
            IdempotencyConflict: The key was used for another submission, or its job was deleted.
            QueueFull: The queue holds `max_queued` jobs.
            QueueShareUsed: The queue holds `max_queued_of_owner` jobs of the owner.
        """

        def transaction(conn: sqlite3.Connection) -> tuple[tuple[Job, bool], dict[Status, int]]:
            counts = _counts(conn)
            if new.idempotency_key is not None:
                twin = find_twin(conn, new.submitted_by, new.idempotency_key, new.spec.digest())
                if twin is not None:
                    return (twin, False), counts
            queued = counts[Status.QUEUED]
            if queued >= max_queued:
                raise QueueFull(max_queued)
            # counted only if the queue holds enough jobs at all
            if (share := max_queued_of_owner) is not None and queued >= share:
                if queries.queued_of(conn, owner=new.submitted_by)["jobs"] >= share:
                    raise QueueShareUsed(share)
            job = insert_job(conn, new, draw_id, at)
            counts[Status.QUEUED] += 1  # as the triggers do; reading them again would take longer
            return (job, True), counts

        job, is_new = await self._change_counted(transaction)
        self.changes.publish(job.job_id)
        return job, is_new

    async def find_twin(self, owner: str, key: str, spec_digest: str) -> Job | None:
        """The job of an idempotency key's first use; None for a new key.

        Raises:
            IdempotencyConflict: The key was used for another submission, or its job was deleted.
        """
        return await self._database.read(lambda conn: find_twin(conn, owner, key, spec_digest))

    # --- moving ---------------------------------------------------------------------------

    async def claim_next(
        self, at: datetime, first_phase: Callable[[JobSpec], Phase] = lambda _: Phase.STARTING
    ) -> Job | None:
        """Move the next queued job into its first phase, with a new attempt number.

        `first_phase` is called in the connection's thread.
        """

        def transaction(conn: sqlite3.Connection) -> Job | None:
            first = queries.first_in_queue(conn)
            if first is None:
                return None
            row = queries.most_urgent_of(conn, **first)
            if row["seq"] != first["seq"]:
                # otherwise the owner would have the first place again
                queries.set_place(conn, seq=first["seq"], place=row["place"])
                queries.set_place(conn, seq=row["seq"], place=first["place"])
            queries.set_attempt(conn, seq=row["seq"], attempt=row["attempt"] + 1)
            return move_job(conn, row["job_id"], first_phase(row_to_job(row).spec), at)

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
        """Move a job whose current attempt is `attempt`.

        Raises:
            TransitionRefused: The table does not allow the move, or the job is in another phase or
                attempt.
        """

        def transaction(conn: sqlite3.Connection) -> Job:
            job = move_job(conn, job_id, target, at, attempt=attempt, detail=detail)
            if started is not None or target is Phase.QUEUED:
                set_started(conn, job, started)
            return get_job(conn, job_id)

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
        """Record the outcome of a job and move it into RECORDING or FINISHED.

        Raises:
            TransitionRefused: The table does not allow the move, or the job is in another phase or
                attempt.
        """

        def transaction(conn: sqlite3.Connection) -> Job:
            job = move_job(
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
                set_started(conn, job, started)
            return get_job(conn, job_id)

        job = await self._change_job(transaction)
        self._on_end(job)
        return job

    async def finish(self, job_id: str, *, at: datetime) -> Job:
        """Move a job from RECORDING to FINISHED, with the note on MLflow's data if it is known.

        Raises:
            TransitionRefused: The job is not in RECORDING.
        """

        def transaction(conn: sqlite3.Connection) -> Job:
            row = queries.tracking_note(conn, job_id=job_id)
            return move_job(conn, job_id, Phase.FINISHED, at, detail=row and row["detail"])

        return await self._change_job(transaction)

    async def request_cancel(self, job_id: str, *, at: datetime) -> Job:
        """Cancel a queued job at once; record the request for a job that has left the queue.

        A running job moves to STOPPING; a job that has ended is left unchanged.

        Raises:
            JobNotFound: There is no such job.
        """

        ends_in_queue = False

        def transaction(conn: sqlite3.Connection) -> Job:
            nonlocal ends_in_queue
            job = get_job(conn, job_id)
            if job.phase in {Phase.RECORDING, Phase.FINISHED}:
                return job
            queries.set_cancel_requested(conn, seq=job.seq, at=rfc3339(at))
            if job.phase is Phase.QUEUED:
                ends_in_queue = True
                outcome = Outcome(reason=Reason.CANCELLED, error=CANCELLED_IN_QUEUE, ended_at=at)
                return move_job(conn, job_id, Phase.FINISHED, at, outcome=outcome)
            if job.phase in sources_of(Phase.STOPPING):
                return move_job(conn, job_id, Phase.STOPPING, at, detail="cancel requested")
            return get_job(conn, job_id)

        job = await self._change_job(transaction)
        if ends_in_queue:
            self._on_end(job)
        return job

    async def set_tracking(
        self, job_id: str, tracking: JobTracking, *, note: str | None = None
    ) -> None:
        """Store MLflow's data about a job, and a note for its history; clear `tracking_pending`."""

        def transaction(conn: sqlite3.Connection) -> None:
            queries.set_tracking(
                conn,
                job_id=job_id,
                run_id=tracking.run_id,
                model_version=tracking.model_version,
                runs=to_json(tracking.runs),
                note=note,
            )
            queries.set_final_detail(conn, job_id=job_id, note=note)

        await self._change(transaction)
        self.changes.publish(job_id)

    async def delete(self, job_id: str) -> None:
        """Delete a finished job; its id is never reused.

        Raises:
            JobNotFound: There is no such job.
            JobNotFinished: The job has not finished.
        """

        def transaction(conn: sqlite3.Connection) -> None:
            job = get_job(conn, job_id)
            if queries.delete_job(conn, job_id=job_id) != 1:
                raise JobNotFinished(job.job_id)

        await self._change(transaction)
        self.changes.publish(job_id)

    async def purge_idempotency_keys(self, *, at: datetime) -> int:
        """Delete keys older than 24 h whose job is deleted; return their number."""
        cutoff = rfc3339(at - IDEMPOTENCY_KEPT)
        purged: int = await self._change(
            lambda conn: queries.purge_keys(conn, created_before=cutoff)
        )
        return purged

    async def counts(self) -> dict[Status, int]:
        """The number of jobs by status, mostly from memory."""
        counted_at = self._counted_at
        if time.monotonic() - counted_at >= COUNTS_SECONDS:
            counts = await self._database.read(_counts)
            if self._counted_at == counted_at:  # else a change has stored newer counts
                self._keep(counts)
        return self._counts


def _counts(conn: sqlite3.Connection) -> dict[Status, int]:
    return {Status(row["status"]): row["jobs"] for row in queries.counts(conn)}
