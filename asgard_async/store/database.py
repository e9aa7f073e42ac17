"""The SQLite connections: one for writing and one for reading.

Each transaction is a function that runs as one call in the connection's thread. This is faster than
awaiting each statement, and a cancelled task cannot leave a transaction open.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosql
import aiosqlite

from asgard_async.core.files.ownership import open_private
from asgard_async.store.migrate import SchemaError, migrate, packaged_migrations, refuse_newer

T = TypeVar("T")

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables

queries: Any = aiosql.from_path(
    Path(__file__).parent / "queries", "sqlite3", mandatory_parameters=False
)
"""The named queries of store/queries; each takes a connection and its parameters by name."""


class _Connection(aiosqlite.Connection):
    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` in the connection's thread, to its end even if the caller is cancelled."""
        result: T = await self._execute(  # type: ignore[no-untyped-call]  # no public method
            partial(function, self._conn)
        )
        return result


class Database:
    """The job database. Use `open` and `close`, or as an async context manager."""

    def __init__(self, file: Path, *, migrates: bool = True) -> None:
        """Without `migrates`, opening a database with another schema fails and changes nothing."""
        self._file = file
        self._migrates = migrates
        self._writer: _Connection
        self._reader: _Connection

    async def open(self) -> Self:
        """Create or migrate the database and connect to it.

        Raises:
            SchemaError: the database was written by a newer version, or needs a migration while
                `migrates` is False; or SQLite is too old.
        """
        # a separate connection: if opening fails, aiosqlite leaves the connection's thread behind
        prepare = bring_up_to_date if self._migrates else check_up_to_date
        await asyncio.to_thread(prepare, self._file)
        self._writer = _Connection(partial(_connect, self._file), 64)
        self._reader = _Connection(partial(_connect, self._file, query_only=True), 64)
        await self._writer
        await self._reader
        return self

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` in a write transaction; commit durably, or roll back if it raises."""
        return await self._writer.call(partial(_in_transaction, function))

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` in a read-only transaction, which sees one consistent state."""
        return await self._reader.call(partial(_in_snapshot, function))


def bring_up_to_date(file: Path) -> list[str]:
    """Create or migrate a database; return the names of the migrations that ran.

    Raises:
        SchemaError: the database was written by a newer version, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise SchemaError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is required")
    # before SQLite creates the file with permissions that let other users read it
    os.close(open_private(file, os.O_CREAT))
    with contextlib.closing(_connect(file)) as connection:
        return migrate(connection, packaged_migrations())


def check_up_to_date(file: Path) -> None:
    """Check that a database has this version's schema, without changing the database.

    Raises:
        SchemaError: the database has another schema.
    """
    with contextlib.closing(_connect(file, query_only=True)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = packaged_migrations()[-1].version
    if version < newest:
        raise SchemaError(
            f"the database has schema {version}, this version of Asgard needs {newest}: start the"
            " service with this version, or run asgard db migrate"
        )
    refuse_newer(version, newest)


def _connect(file: Path, *, query_only: bool = False) -> sqlite3.Connection:
    # isolation_level None: transactions are started explicitly, not by the sqlite3 module
    connection = sqlite3.connect(file, isolation_level=None, timeout=5)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if query_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _in_transaction(function: Callable[[sqlite3.Connection], T], conn: sqlite3.Connection) -> T:
    conn.execute("BEGIN IMMEDIATE")
    try:
        result = function(conn)
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    return result


def _in_snapshot(function: Callable[[sqlite3.Connection], T], conn: sqlite3.Connection) -> T:
    conn.execute("BEGIN")
    try:
        return function(conn)
    finally:
        conn.execute("ROLLBACK")
