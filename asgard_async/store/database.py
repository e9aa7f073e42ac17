"""The SQLite connections: one for writing, one for reading.

A transaction is one function, run as one call in the connection's thread. That is faster than
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
"""The named queries in store/queries; each takes a connection and keyword parameters."""


class _Connection(aiosqlite.Connection):
    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on the connection in its thread.

        The function runs to its end even if the caller is cancelled.
        """
        result: T = await self._execute(  # type: ignore[no-untyped-call]  # no public method
            partial(function, self._conn)
        )
        return result


class Database:
    """The job database. Use `open` and `close`, or as an async context manager."""

    def __init__(self, file: Path, *, migrates: bool = True) -> None:
        """Without `migrates`, a database with another schema is refused and left unchanged."""
        self._file = file
        self._migrates = migrates
        self._writer: _Connection
        self._reader: _Connection

    async def open(self) -> Self:
        """Create or migrate the database and connect to it.

        Raises:
            SchemaError: The database was written by a newer version, or by an older one and may not
                be migrated; or SQLite is too old.
        """
        # not on the connections below: aiosqlite leaks the thread of one that fails to open
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
        """Run `function` in a write transaction: durable on return, rolled back if it raises."""
        return await self._writer.call(partial(_in_transaction, function))

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on one consistent state, on a connection that cannot write."""
        return await self._reader.call(partial(_in_snapshot, function))


def bring_up_to_date(file: Path) -> list[str]:
    """Create or migrate a database; return the names of the migrations that ran.

    Raises:
        SchemaError: The database was written by a newer version, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise SchemaError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
    # before SQLite creates it with wider permissions
    os.close(open_private(file, os.O_CREAT))
    with contextlib.closing(_connect(file)) as connection:
        return migrate(connection, packaged_migrations())


def check_up_to_date(file: Path) -> None:
    """Check that a database has this version's schema, without changing it.

    Raises:
        SchemaError: The database has another schema.
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
    # isolation_level None: the module never begins a transaction by itself
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
