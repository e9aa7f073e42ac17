"""Migrations that rebuild a table: nothing is lost, and a failure leaves the old table."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asgard_async.store.migrate import Migration, SchemaError, migrate

OLD = """\
CREATE TABLE parents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    colour TEXT CHECK (colour IN ('red', 'blue'))
) STRICT;
CREATE UNIQUE INDEX parents_by_colour ON parents (colour) WHERE id > 1;
CREATE TABLE children (
    parent INTEGER NOT NULL REFERENCES parents (id) ON DELETE CASCADE
) STRICT;
CREATE TABLE deleted (id INTEGER) STRICT;
CREATE TRIGGER parents_deleted AFTER DELETE ON parents BEGIN
    INSERT INTO deleted VALUES (old.id);
END;
CREATE TRIGGER children_checked AFTER INSERT ON children BEGIN
    UPDATE parents SET colour = colour WHERE id = new.parent;
END;
INSERT INTO parents VALUES (1, 'red'), (2, 'blue'), (9, 'red');
INSERT INTO children VALUES (1), (2);
DELETE FROM parents WHERE id = 9;
"""
NEW_TABLE = """\
-- rebuild: parents
CREATE TABLE new_parents (id INTEGER PRIMARY KEY AUTOINCREMENT, colour TEXT) STRICT;
"""
COPY = "INSERT INTO new_parents SELECT id, colour FROM parents;\n"
REBUILD = NEW_TABLE + COPY
LOSS = "DELETE FROM children;\n"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "test.db")) as connection:
        migrate(connection, steps(OLD))
        yield connection


def connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, timeout=0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def steps(*sql: str) -> list[Migration]:
    return [
        Migration(version=number, name=f"{number:04}_x.sql", sql=text)
        for number, text in enumerate(sql, 1)
    ]


def rows(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def dump(connection: sqlite3.Connection) -> list[str]:
    return [*connection.iterdump(), *map(str, rows(connection, "PRAGMA user_version"))]


def test_rebuild_keeps_rows_that_reference_the_table(connection: sqlite3.Connection) -> None:
    assert migrate(connection, steps(OLD, REBUILD)) == ["0002_x.sql"]
    assert rows(connection, "SELECT * FROM parents") == [(1, "red"), (2, "blue")]
    assert rows(connection, "SELECT * FROM children") == [(1,), (2,)]
    assert rows(connection, "SELECT * FROM deleted") == [(9,)]
    connection.execute("INSERT INTO parents VALUES (3, 'green')")
    assert migrate(connection, steps(OLD, REBUILD)) == []


def test_foreign_keys_and_triggers_work_after_it(connection: sqlite3.Connection) -> None:
    migrate(connection, steps(OLD, REBUILD))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        connection.execute("INSERT INTO children VALUES (77)")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute("INSERT INTO parents (colour) VALUES ('blue')")
    connection.execute("DELETE FROM parents WHERE id = 2")
    assert rows(connection, "SELECT * FROM children") == [(1,)]
    assert rows(connection, "SELECT * FROM deleted") == [(9,), (2,)]
    connection.execute("INSERT INTO children VALUES (1)")
    assert rows(connection, "PRAGMA legacy_alter_table") == [(0,)]


def test_rowids_of_deleted_rows_are_not_reused(connection: sqlite3.Connection) -> None:
    migrate(connection, steps(OLD, REBUILD))
    connection.execute("INSERT INTO parents (colour) VALUES ('green')")
    assert rows(connection, "SELECT max(id) FROM parents") == [(10,)]
    assert rows(connection, "SELECT name FROM sqlite_sequence") == [("parents",)]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        (NEW_TABLE, "row counts"),
        (REBUILD + LOSS, "row counts"),
        (NEW_TABLE + COPY.replace("id, colour", "id + 5, id"), "children"),
        (REBUILD + "CREATE TABLE deleted (x);\n", "already exists"),
        ("-- rebuild: parents\nSELECT 1;\n", "no such table"),
    ],
    ids=["lost", "lost elsewhere", "dangling", "wrong", "no new table"],
)
def test_a_rebuild_that_fails_leaves_the_old_table(
    connection: sqlite3.Connection, sql: str, error: str
) -> None:
    before = dump(connection)
    with pytest.raises((SchemaError, sqlite3.OperationalError), match=error):
        migrate(connection, steps(OLD, sql))
    assert dump(connection) == before
    assert rows(connection, "PRAGMA foreign_keys") == [(1,)]
    assert not connection.in_transaction


def test_a_table_without_rows_is_rebuilt(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "empty.db")) as connection:
        tables = OLD.partition("INSERT INTO parents")[0]
        migrate(connection, steps(tables, REBUILD))
        connection.execute("INSERT INTO parents (colour) VALUES ('green')")
        assert rows(connection, "SELECT id FROM parents") == [(1,)]


def test_other_connections_see_one_table_or_the_other(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    with closing(connect(tmp_path / "test.db")) as reader:
        reader.execute("BEGIN")
        assert rows(reader, "SELECT count(*) FROM parents") == [(2,)]
        migrate(connection, steps(OLD, REBUILD))
        assert "CHECK" in rows(reader, "SELECT sql FROM sqlite_master WHERE name = 'parents'")[0][0]
        assert rows(reader, "SELECT count(*) FROM parents") == [(2,)]
        reader.execute("COMMIT")
        reader.execute("INSERT INTO parents (colour) VALUES ('green')")


def test_a_rebuild_beside_a_writer_is_refused(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    with closing(connect(tmp_path / "test.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        before = dump(connection)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            migrate(connection, steps(OLD, REBUILD))
        writer.execute("ROLLBACK")
    assert dump(connection) == before
    assert migrate(connection, steps(OLD, REBUILD)) == ["0002_x.sql"]
