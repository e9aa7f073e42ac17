"""Numbered migrations under `PRAGMA user_version`, one transaction each."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources


class SchemaError(Exception):
    """The database cannot be used by this version of the code."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    version: int
    name: str
    sql: str


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
        SchemaError: the database was written by a newer version.
    """
    newest = migrations[-1].version
    ran = []
    for migration in migrations:
        # each check stands inside its transaction: another process may migrate too
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            refuse_newer(version, newest)
            if version < migration.version:
                for statement in _statements(migration.sql):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {migration.version}")
                ran.append(migration.name)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return ran


def refuse_newer(version: int, newest: int) -> None:
    """
    Raises:
        SchemaError: a schema was written by a newer version of the code.
    """
    if version > newest:
        raise SchemaError(
            f"the database has schema {version}, this version of Asgard knows {newest}:"
            " install the newer version, or restore a backup made with this one"
        )


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
