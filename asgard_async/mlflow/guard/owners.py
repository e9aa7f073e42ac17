"""The owners of runs, logged models and traces, in the database of MLflow's auth application."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from asgard_async.mlflow.server.identities import NOBODY_ACCOUNT

SCHEMA = """
CREATE TABLE IF NOT EXISTS asgard_owners (
    kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, experiment_id TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS asgard_owners_experiment ON asgard_owners (experiment_id, owner);
"""
GRANTS = """
SELECT username, permission FROM role_permissions JOIN user_role_assignments USING (role_id)
    JOIN users ON users.id = user_id
WHERE resource_type = ? AND resource_pattern = ? AND username != ?
"""
"""In the tables of MLflow's auth application."""
RUN = "run"
MODEL = "model"
TRACE = "trace"


class Owners:
    """Records who made what. Methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA busy_timeout = 5000")
        self._database.executescript(SCHEMA)
        self._lock = threading.Lock()

    def of(self, kind: str, record_id: str) -> str | None:
        """Return the owner of a run, model or trace; None if nobody is known."""
        with self._lock:
            row = self._database.execute(
                "SELECT owner FROM asgard_owners WHERE kind = ? AND id = ?", (kind, record_id)
            ).fetchone()
        return None if row is None else str(row[0])

    def add(self, kind: str, record_id: str, owner: str, experiment_id: str) -> None:
        """Record the owner of what was created, unless one is known."""
        self.add_all([(kind, record_id, owner, experiment_id)])

    def add_all(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        """Record the owners of many, in one transaction."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(
                    "INSERT OR IGNORE INTO asgard_owners VALUES (?, ?, ?, ?)", rows
                )
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def has_others(self, experiment_id: str, owner: str) -> bool:
        """Return whether an experiment contains anything that another owner made."""
        with self._lock:
            row = self._database.execute(
                "SELECT 1 FROM asgard_owners WHERE experiment_id = ? AND owner != ? LIMIT 1",
                (experiment_id, owner),
            ).fetchone()
        return row is not None

    def grants_on(self, resource_type: str, resource: str) -> dict[str, str]:
        """Return the permission of each account on an experiment, registered model or prompt.

        Left out is what nobody owns: all may have it.
        """
        with self._lock:
            rows = self._database.execute(
                GRANTS, (resource_type, resource, NOBODY_ACCOUNT)
            ).fetchall()
        return dict(rows)

    def version_of_others(self) -> int:
        """Return a number that changes with each change of the database by MLflow."""
        with self._lock:
            return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the database."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
