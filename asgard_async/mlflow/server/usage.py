"""The record of what each job stores in MLflow, in a database of its own."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS artifacts (
    path TEXT PRIMARY KEY, account TEXT NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS artifacts_account ON artifacts (account);
CREATE TABLE IF NOT EXISTS accounts (
    account TEXT PRIMARY KEY, written INTEGER NOT NULL, created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (id INTEGER PRIMARY KEY, path TEXT NOT NULL);
"""
UNSAVED_BYTES = 1 << 20
UNSAVED_CREATED = 16
"""Usage of an account that is not saved yet, at most; a crash of the server loses no more."""
MAX_CACHED = 10_000


class _Account:
    """The totals of one account, and what of them is not saved yet."""

    def __init__(self, stored: int, written: int, created: int) -> None:
        self.stored, self.written, self.created = stored, written, created
        self.unsaved_written = self.unsaved_created = 0


class Usage:
    """Totals by account, cached in memory. Methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        # after a power failure the last uploads may count as nothing
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(SCHEMA)
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}

    def artifact_bytes(self, account: str) -> int:
        """Return the size of all artifacts of an account."""
        with self._lock:
            return self._account(account).stored

    def record_bytes(self, account: str) -> int:
        """Return the size of everything else that an account has written."""
        with self._lock:
            return self._account(account).written

    def created(self, account: str) -> int:
        """Return how many runs, experiments and models an account has created."""
        with self._lock:
            return self._account(account).created

    def artifacts_by_account(self) -> list[tuple[str, int]]:
        """Return the accounts with artifacts and the size of these, the largest first.

        This reads all records, so it uses a connection of its own and blocks no other method.
        """
        with contextlib.closing(sqlite3.connect(self._path)) as database:
            return database.execute(
                "SELECT account, SUM(bytes) AS total FROM artifacts GROUP BY account"
                " ORDER BY total DESC, account"
            ).fetchall()

    def size_of(self, path: str, account: str) -> int:
        """Return the size of an artifact of this account; 0 if there is none."""
        with self._lock:
            row = self._database.execute(
                "SELECT bytes FROM artifacts WHERE path = ? AND account = ?", (path, account)
            ).fetchone()
            return int(row[0]) if row else 0

    def store(self, path: str, account: str, size: int) -> None:
        """Record an artifact, which replaces the one at the same path."""
        with self._lock, self._transaction():
            self._remove(" = ?", (path,))
            self._database.execute("INSERT INTO artifacts VALUES (?, ?, ?)", (path, account, size))
            if (totals := self._accounts.pop(account, None)) is not None:
                self._save(account, totals)

    def forget(self, path: str) -> None:
        """Record the deletion of an artifact, or of all below a directory."""
        with self._lock, self._transaction():
            self._remove(" = ?", (path,))
            self._remove(" BETWEEN ? AND ?", (f"{path}/", f"{path}/\U0010ffff"))

    def begin_upload(self, path: str) -> int:
        """Record that an artifact is being uploaded; return the upload's id."""
        with self._lock:
            row = self._database.execute("INSERT INTO uploads (path) VALUES (?)", (path,))
            return row.lastrowid or 0

    def end_upload(self, upload: int) -> None:
        """Record that an upload has ended in any way."""
        with self._lock:
            self._database.execute("DELETE FROM uploads WHERE id = ?", (upload,))

    def take_interrupted(self) -> set[str]:
        """Return the paths whose upload was cut off with the server, and forget them."""
        with self._lock:
            rows = self._database.execute("DELETE FROM uploads RETURNING path").fetchall()
        return {path for (path,) in rows}

    def add(self, account: str, *, written: int = 0, created: int = 0) -> None:
        """Record writes other than artifacts."""
        with self._lock:
            totals = self._account(account)
            totals.written += written
            totals.created += created
            totals.unsaved_written += written
            totals.unsaved_created += created
            if totals.unsaved_written >= UNSAVED_BYTES or totals.unsaved_created >= UNSAVED_CREATED:
                self._save(account, totals)

    def close(self) -> None:
        """Save everything."""
        with self._lock:
            self._save_all()
            self._database.close()

    def _remove(self, condition: str, arguments: tuple[str, ...]) -> None:
        rows = self._database.execute(
            f"DELETE FROM artifacts WHERE path{condition} RETURNING account",  # noqa: S608
            arguments,
        ).fetchall()
        for (account,) in rows:
            if account in self._accounts:
                self._save(account, self._accounts.pop(account))

    def _account(self, account: str) -> _Account:
        if account not in self._accounts:
            if len(self._accounts) >= MAX_CACHED:
                self._save_all()
                self._accounts.clear()
            (stored,) = self._database.execute(
                "SELECT COALESCE(SUM(bytes), 0) FROM artifacts WHERE account = ?", (account,)
            ).fetchone()
            row = self._database.execute(
                "SELECT written, created FROM accounts WHERE account = ?", (account,)
            ).fetchone()
            self._accounts[account] = _Account(stored, *(row or (0, 0)))
        return self._accounts[account]

    def _save_all(self) -> None:
        for account, totals in self._accounts.items():
            if totals.unsaved_written or totals.unsaved_created:
                self._save(account, totals)

    def _save(self, account: str, totals: _Account) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)",
            (account, totals.written, totals.created),
        )
        totals.unsaved_written = totals.unsaved_created = 0

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            self._accounts.clear()
            raise
        self._database.execute("COMMIT")
