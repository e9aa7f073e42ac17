"""The runs that jobs write to and that they did not create, in a database of its own.

A job that resumes a run leaves no tag on it. Runs that a job created carry its id, so usually
nothing is stored about them.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .attempt_token import Caller

SCHEMA = """
CREATE TABLE IF NOT EXISTS written_runs (
    job_id TEXT NOT NULL, run_id TEXT NOT NULL, attempt INTEGER NOT NULL,
    opened INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (job_id, run_id)
) WITHOUT ROWID;
"""
STORE = """
INSERT INTO written_runs VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET attempt = excluded.attempt, opened = max(opened, excluded.opened),
    expires_at = excluded.expires_at
"""
MAX_RUNS = 1000
"""Runs of one job that are stored."""
KEPT_SECONDS = 30 * 24 * 3600
"""Time after the end of a job's token in which the service may still ask for its runs."""
MAX_CACHED = 50_000


@dataclass(frozen=True, kw_only=True)
class WrittenRun:
    """A run that a job wrote to."""

    job_id: str
    run_id: str
    attempt: int
    """The last attempt that wrote to it."""
    opened: bool
    """True if the job resumed the run: it set the run's status to RUNNING."""


class WrittenRuns:
    """Stores each run at the job's first write to it. Methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        # a crash of the server loses nothing, a power failure the last runs
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(SCHEMA)
        self._database.execute(
            "DELETE FROM written_runs WHERE expires_at < ?", (time.time() - KEPT_SECONDS,)
        )
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, str], bool] = {}
        """Runs of attempts that need not be stored again, and whether they count as opened."""

    def add_created(self, caller: Caller, run_id: str) -> None:
        """Note that an attempt created a run, whose tags identify it."""
        self._remember((caller.job_id, caller.attempt, run_id), opened=True)

    def add(self, caller: Caller, run_id: str, *, opened: bool) -> None:
        """Store a run that an attempt wrote to, unless that is known."""
        key = (caller.job_id, caller.attempt, run_id)
        if self._known.get(key, None) in {True, opened}:
            return
        # while the disk is full, the next write to the run tries again
        with contextlib.suppress(sqlite3.OperationalError), self._lock:
            (count,) = self._database.execute(
                "SELECT count(*) FROM written_runs WHERE job_id = ?", (caller.job_id,)
            ).fetchone()
            if count < MAX_RUNS:
                row = (caller.job_id, run_id, caller.attempt, opened, caller.expires_at)
                self._database.execute(STORE, row)
            self._remember(key, opened=opened)

    def of_jobs(self, job_ids: Iterable[str]) -> Iterator[WrittenRun]:
        """Yield the runs of these jobs."""
        for asked in job_ids:
            with self._lock:
                rows = self._database.execute(
                    "SELECT job_id, run_id, attempt, opened FROM written_runs WHERE job_id = ?",
                    (asked,),
                ).fetchall()
            for job_id, run_id, attempt, opened in rows:
                yield WrittenRun(job_id=job_id, run_id=run_id, attempt=attempt, opened=bool(opened))

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _remember(self, key: tuple[str, int, str], *, opened: bool) -> None:
        if len(self._known) >= MAX_CACHED:
            self._known.clear()
        self._known[key] = opened
