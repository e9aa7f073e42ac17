"""Jobs in the database, and every change of them."""

import math
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.errors import JobNotFinished, QueueFull
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
"""How long counts are believed while nothing changes here: `asgard gc` deletes jobs beside us."""
CANCELLED_IN_QUEUE = "The job was cancelled before it started."


class JobStore(JobLookups):
    """Queries and guarded changes of jobs; each method is one transaction.

    `on_end` is called once with each job that has ended, when that is durable.
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
        """Run a write transaction, and keep the counts that it leaves."""

        def transaction(conn: sqlite3.Connection) -> tuple[T, dict[Status, int]]:
            return function(conn), _counts(conn)

        result, counts = await self._database.write(transaction)
        self._keep(counts)
        return result

    def _keep(self, counts: dict[Status, int]) -> None:
        self._counts, self._counted_at = counts, time.monotonic()

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
        """Move a job whose present attempt is `attempt`.

        Raises:
            TransitionRefused: the table has no such move, or the job is elsewhere.
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
        """Record how a job ended and move it into RECORDING or FINISHED.

        Raises:
            TransitionRefused: as `move`.
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
        """Make a job in RECORDING final.

        Raises:
            TransitionRefused: it is not in RECORDING.
        """
        return await self._change_job(lambda conn: move_job(conn, job_id, Phase.FINISHED, at))

    async def request_cancel(self, job_id: str, *, at: datetime) -> Job:
        """Cancel a queued job at once; note the wish for one that has left the queue.

        A running one goes to STOPPING; one that has ended stays as it is.

        Raises:
            JobNotFound: there is no such job.
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
            job = get_job(conn, job_id)
            if queries.delete_job(conn, job_id=job_id) != 1:
                raise JobNotFinished(job.job_id)

        await self._change(transaction)
        self.changes.publish(job_id)

    async def purge_idempotency_keys(self, *, at: datetime) -> int:
        """Forget keys whose job is gone and that are older than 24 h; return how many."""
        before = rfc3339(at - IDEMPOTENCY_KEPT)
        purged: int = await self._change(
            lambda conn: queries.purge_keys(conn, created_before=before)
        )
        return purged

    async def counts(self) -> dict[Status, int]:
        """How many jobs are in each status, mostly from memory."""
        counted_at = self._counted_at
        if time.monotonic() - counted_at >= COUNTS_SECONDS:
            found = await self._database.read(_counts)
            if self._counted_at == counted_at:  # else there was a change meanwhile: it knows better
                self._keep(found)
        return self._counts


def _counts(conn: sqlite3.Connection) -> dict[Status, int]:
    return {Status(row["status"]): row["jobs"] for row in queries.counts(conn)}
