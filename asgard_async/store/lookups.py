"""Read-only queries of jobs."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.errors import JobNotFound
from asgard_async.domain.job import HistoryEntry, Job
from asgard_async.domain.status import Phase, Status
from asgard_async.store.database import Database, queries
from asgard_async.store.listing import Cursor, JobFilter, list_statement
from asgard_async.store.moves import get_job
from asgard_async.store.rows import row_to_history, row_to_job, text_to_time

MAX_SPEC_BYTES = 4 << 20
"""Specifications that are read at once: one with a thousand requirements has half a megabyte."""


@dataclass(frozen=True, kw_only=True)
class FinishedJob:
    """The data of a finished job that retention needs."""

    job_id: str
    ended_at: datetime
    is_recorded: bool
    archive: str | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of a list of jobs."""

    jobs: Sequence[Job]
    has_more: bool
    """True if further jobs follow the last one."""


class JobLookups:
    """Queries of jobs; each method reads one consistent state."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, job_id: str) -> Job:
        """The job with this id.

        Raises:
            JobNotFound: There is no such job.
        """
        return await self._database.read(lambda conn: get_job(conn, job_id))

    async def list(self, only: JobFilter, *, after: Cursor | None = None, limit: int) -> Page:
        """At most `limit` jobs after the cursor, newest first; fewer if they are large."""
        sql, parameters = list_statement(only, after, limit + 1)
        return await self._database.read(
            lambda conn: _page_of(conn.execute(sql, parameters), limit)
        )

    async def history(self, job_id: str) -> Sequence[HistoryEntry]:
        """All transitions of a job, in order."""
        return await self._database.read(
            lambda conn: [row_to_history(row) for row in queries.get_history(conn, job_id=job_id)]
        )

    async def script(self, job_id: str) -> bytes:
        """The script as uploaded.

        Raises:
            JobNotFound: There is no such job, or it has an archive instead.
        """

        def transaction(conn: sqlite3.Connection) -> bytes:
            row = queries.get_script(conn, job_id=job_id)
            if row is None:
                raise JobNotFound(job_id)
            return bytes(row["content"])

        return await self._database.read(transaction)

    async def queue_position(self, job: Job) -> int | None:
        """The position in the queue, 1 for the next job; None if the job is not queued."""
        if job.phase is not Phase.QUEUED:
            return None

        def transaction(conn: sqlite3.Connection) -> int | None:
            return _position(conn, job.seq)

        return await self._database.read(transaction)

    async def counts_of(self, owner: str) -> dict[Status, int]:
        """The number of an owner's jobs by status, without empty ones."""
        rows = await self._database.read(lambda conn: list(queries.counts_of(conn, owner=owner)))
        return {Status(row["status"]): row["jobs"] for row in rows}

    async def unfinished_by_phase(self) -> dict[Phase, int]:
        """The number of jobs by phase, without FINISHED and phases that are empty."""
        rows = await self._database.read(lambda conn: list(queries.unfinished_by_phase(conn)))
        return {Phase(row["phase"]): row["jobs"] for row in rows}

    async def unfinished(self) -> Sequence[Job]:
        """Jobs that have left the queue but have not finished, oldest first."""
        return await self._database.read(
            lambda conn: [row_to_job(row) for row in queries.unfinished(conn)]
        )

    async def to_track(self, limit: int, *, after: int = 0) -> Sequence[Job]:
        """Jobs whose MLflow runs have not been read yet, oldest first; fewer if they are large.

        `after` is the `seq` of the last job of the previous call.
        """
        page = await self._database.read(
            lambda conn: _page_of(queries.to_track(conn, after=after, limit=limit), limit)
        )
        return page.jobs

    async def queued_since_before(self, moment: datetime) -> Sequence[Job]:
        """Some of the jobs queued since before `moment`, the oldest ones first."""
        text = rfc3339(moment)
        return await self._database.read(
            lambda conn: [row_to_job(row) for row in queries.queued_before(conn, created_at=text)]
        )

    async def oldest_queued_at(self) -> datetime | None:
        """The creation time of the oldest queued job."""

        def transaction(conn: sqlite3.Connection) -> datetime | None:
            return text_to_time(queries.oldest_queued(conn)["created_at"])

        return await self._database.read(transaction)

    async def all_job_ids(self) -> frozenset[str]:
        """The ids of all jobs."""
        return await self._database.read(
            lambda conn: frozenset(row["job_id"] for row in queries.all_job_ids(conn))
        )

    async def all_archives(self) -> frozenset[str]:
        """The names of all archives that belong to a job."""
        return await self._database.read(
            lambda conn: frozenset(row["archive"] for row in queries.all_archives(conn))
        )

    async def ended(self) -> Sequence[FinishedJob]:
        """All finished jobs, including those whose MLflow runs have not been read yet."""
        return await self._database.read(
            lambda conn: [
                FinishedJob(
                    job_id=row["job_id"],
                    ended_at=datetime.fromisoformat(row["ended_at"]),
                    is_recorded=not row["tracking_pending"],
                    archive=row["archive"],
                )
                for row in queries.ended(conn)
            ]
        )

    async def owners_after(self, seq: int, *, limit: int) -> tuple[dict[str, str], int]:
        """Return a page of the owners of all jobs, by job id, and the last job's number.

        The number is `seq` if there are no further jobs.
        """
        rows = await self._database.read(
            lambda conn: list(queries.owners_after(conn, after=seq, limit=limit))
        )
        owners = {row["job_id"]: row["submitted_by"] for row in rows}
        return owners, rows[-1]["seq"] if rows else seq

    async def server_id(self) -> str:
        """The id that marks this server's MLflow runs; created with the database."""
        return await self._database.read(lambda conn: str(queries.server_id(conn)["value"]))


def _page_of(rows: Iterable[sqlite3.Row], limit: int) -> Page:
    """Read at most `limit` jobs, and none after their specifications exceed MAX_SPEC_BYTES."""
    jobs: list[Job] = []
    size = 0
    for row in rows:
        if len(jobs) == limit or size > MAX_SPEC_BYTES:
            return Page(jobs=jobs, has_more=True)
        jobs.append(row_to_job(row))
        size += len(row["spec"])
    return Page(jobs=jobs, has_more=False)


def _position(conn: sqlite3.Connection, seq: int) -> int | None:
    """The position of a job in the queue; None if it has left it."""
    row = queries.queue_entry(conn, seq=seq)
    if row is None:
        return None
    entry = dict(row)
    # usually a job runs in its own place, and sorting all jobs of its owner would be in vain
    if queries.own_urgent(conn, **entry) is not None:
        entry["place"] = queries.place_of(conn, **entry)["place"]
    return int(queries.queue_position(conn, **entry)["position"])
