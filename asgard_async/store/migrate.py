"""Numbered migrations under `PRAGMA user_version`, one transaction each.

SQLite cannot change a table's constraints in place. A migration whose first line is
`-- rebuild: TABLE` creates and fills `new_TABLE`; the migrator then replaces the old table with it
and recreates the indexes and triggers, as https://sqlite.org/lang_altertable.html describes.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources

REBUILD_HEADER = re.compile(r"-- rebuild: (\w+)\n")


class SchemaError(Exception):
    """The database cannot be used by this version of the code."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """A step from one schema version to the next."""

    version: int
    name: str
    sql: str

    @property
    def rebuilt_table(self) -> str | None:
        """The table that the migration rebuilds, if any."""
        header = REBUILD_HEADER.match(self.sql)
        return header[1] if header else None


def packaged_migrations() -> list[Migration]:
    """The migrations shipped with this version, in order."""
    folder = resources.files("asgard_async") / "migrations"
    migrations = (
        Migration(version=int(match[1]), name=file.name, sql=file.read_text("utf-8"))
        for file in folder.iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name))
    )
    return sorted(migrations, key=lambda migration: migration.version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> list[str]:
    """Bring the schema up to date and return the names of the migrations that ran.

    Raises:
        SchemaError: The database was written by a newer version, or a rebuild would lose rows.
    """
    newest = migrations[-1].version
    applied = []
    for migration in migrations:
        if migration.rebuilt_table is None:
            is_new = _apply(connection, migration, newest)
        else:
            with _without_foreign_keys(connection):
                is_new = _apply(connection, migration, newest)
        if is_new:
            applied.append(migration.name)
    return applied


def refuse_newer(version: int, newest: int) -> None:
    """Refuse a schema that this version of the code does not know.

    Raises:
        SchemaError: The schema was written by a newer version of the code.
    """
    if version > newest:
        raise SchemaError(
            f"the database has schema {version}, this version of Asgard knows {newest}:"
            " install the newer version, or restore a backup made with this one"
        )


def _apply(connection: sqlite3.Connection, migration: Migration, newest: int) -> bool:
    """Run a migration unless the database already has it; return whether it ran."""
    # the version is read inside the transaction: another process may be migrating too
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        refuse_newer(version, newest)
        is_new = bool(version < migration.version)
        if is_new:
            if migration.rebuilt_table is None:
                _run(connection, migration)
            else:
                _rebuild(connection, migration, migration.rebuilt_table)
            connection.execute(f"PRAGMA user_version = {migration.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return is_new


def _run(connection: sqlite3.Connection, migration: Migration) -> None:
    for statement in _statements(migration.sql):
        connection.execute(statement)


@contextmanager
def _without_foreign_keys(connection: sqlite3.Connection) -> Iterator[None]:
    """Switch foreign keys off, which SQLite allows only outside transactions.

    With foreign keys on, dropping the old table deletes every row that references it. The legacy
    mode stops a rename from parsing triggers of other tables, which may name the dropped table.
    """
    (foreign_keys,) = connection.execute("PRAGMA foreign_keys").fetchone()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute(f"PRAGMA foreign_keys = {foreign_keys}")


def _rebuild(connection: sqlite3.Connection, migration: Migration, table: str) -> None:
    """Run a migration that creates `new_<table>`, and replace `table` with it.

    Raises:
        SchemaError: Rows would be lost or would reference rows that do not exist.
    """
    rows_before = _row_counts(connection)
    _run(connection, migration)
    dependents = connection.execute(
        "SELECT sql FROM sqlite_master"
        " WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        (table,),
    ).fetchall()
    last_rowid = _last_rowid(connection, table)
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    if last_rowid is not None:
        _set_last_rowid(connection, table, last_rowid)
    for (sql,) in dependents:
        connection.execute(sql)
    rows_after = _row_counts(connection)
    if rows_after != rows_before:
        raise SchemaError(f"{migration.name} changes row counts: {rows_before} to {rows_after}")
    if violations := connection.execute("PRAGMA foreign_key_check").fetchall():
        tables = ", ".join(sorted({violation[0] for violation in violations}))
        raise SchemaError(f"{migration.name} breaks {len(violations)} foreign keys, in {tables}")


def _row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    tables = connection.execute(
        r"SELECT name FROM sqlite_master"
        r" WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name"
    ).fetchall()
    return {
        table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608
        for (table,) in tables
    }


def _last_rowid(connection: sqlite3.Connection, table: str) -> int | None:
    """The largest rowid that an AUTOINCREMENT table ever had; None for other tables.

    It may belong to a deleted row, so it cannot be derived from the copied rows.
    """
    has_sequences = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
    ).fetchone()
    if has_sequences is None:
        return None
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return int(row[0]) if row is not None else None


def _set_last_rowid(connection: sqlite3.Connection, table: str, last_rowid: int) -> None:
    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last_rowid))


def _statements(sql: str) -> Iterator[str]:
    # not executescript: it commits on its own
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.startswith("--") for line in statement.splitlines()):
        raise SchemaError("a migration ends in the middle of a statement")
