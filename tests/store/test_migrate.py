"""Migrations: in order, whole or not at all, never backwards."""

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from asgard_async.store.migrate import Migration, SchemaError, migrate, packaged_migrations


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def migrations(*sql: str) -> list[Migration]:
    return [
        Migration(version=number, name=f"{number:04}_x.sql", sql=text)
        for number, text in enumerate(sql, 1)
    ]


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {row[0] for row in rows}


def version(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def test_each_migration_runs_once(connection: sqlite3.Connection) -> None:
    first, second = "CREATE TABLE a (x);", "CREATE TABLE b (x);\n-- done\n"
    assert migrate(connection, migrations(first)) == ["0001_x.sql"]
    assert migrate(connection, migrations(first, second)) == ["0002_x.sql"]
    assert migrate(connection, migrations(first, second)) == []
    assert (tables(connection), version(connection)) == ({"a", "b"}, 2)


def test_a_failed_migration_is_rolled_back(connection: sqlite3.Connection) -> None:
    broken = migrations("CREATE TABLE a (x);", "CREATE TABLE b (x);\nCREATE TABLE a (x);")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, broken)
    assert (tables(connection), version(connection)) == ({"a"}, 1)
    assert not connection.in_transaction


def test_a_truncated_statement_is_an_error(connection: sqlite3.Connection) -> None:
    with pytest.raises(SchemaError):
        migrate(connection, migrations("CREATE TABLE a (x);\nCREATE TABLE b (x)"))
    assert tables(connection) == set()


def test_triggers_are_single_statements(connection: sqlite3.Connection) -> None:
    sql = (
        "CREATE TABLE a (x);\n"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM a;\n  SELECT 1;\nEND;\n"
    )
    migrate(connection, migrations(sql))
    connection.execute("INSERT INTO a VALUES (1)")
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (0,)


async def test_a_newer_database_is_rejected_untouched(tmp_path: Path) -> None:
    file = tmp_path / "asgard.db"
    async with Database(file):
        pass
    newer = sqlite3.connect(file)
    newer.execute("PRAGMA user_version = 999")
    newer.close()
    with pytest.raises(SchemaError, match="999"):
        async with Database(file):
            pass
    check = sqlite3.connect(file)
    assert version(check) == 999
    check.close()


async def test_database_is_private_and_durable(tmp_path: Path) -> None:
    file = tmp_path / "asgard.db"
    async with Database(file) as database:
        mode = await database.read(lambda conn: conn.execute("PRAGMA journal_mode").fetchone()[0])
        sync = await database.write(lambda conn: conn.execute("PRAGMA synchronous").fetchone()[0])
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await database.read(lambda conn: conn.execute("DELETE FROM jobs"))
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o777 == 0o600, path
    assert (mode, sync) == ("wal", 2)


def test_packaged_migrations_are_numbered_without_gaps() -> None:
    versions = [migration.version for migration in packaged_migrations()]
    assert versions == list(range(1, len(versions) + 1))


async def test_a_database_without_archives_is_migrated(tmp_path: Path) -> None:
    """Rows and idempotency keys of schema 1 stay as they are."""
    file = tmp_path / "asgard.db"
    old = sqlite3.connect(file, isolation_level=None)
    migrate(old, packaged_migrations()[:1])
    old.execute(
        "INSERT INTO jobs (job_id, script_name, script_sha256, experiment_name, model_name,"
        " requirements, environment_vars, timeout, tags, priority, warm, uses_tracking,"
        " submitted_by, status, phase, created_at) VALUES ('00000001', 'train.py', 'x', 'e', 'm',"
        " '[]', '{}', 300, '{}', 0, 1, 0, '', 'queued', 'queued', '2026-01-01T00:00:00.000000Z')"
    )
    old.execute("INSERT INTO job_scripts VALUES (1, x'31')")
    old.close()
    async with Database(file) as database:
        store = JobStore(database)
        job = await store.get("00000001")
        assert (job.archive, job.spec.entrypoint) == (None, None)
        assert await store.script(job.job_id) == b"1"
        assert await store.all_archives() == frozenset()
        # as it was computed before there were these fields
        later = {"entrypoint", "memory_mb", "cpus", "args", "params"}
        fields = {k: v for k, v in dataclasses.asdict(job.spec).items() if k not in later}
        canonical = json.dumps(fields, sort_keys=True)
        assert job.spec.digest() == hashlib.sha256(canonical.encode()).hexdigest()
