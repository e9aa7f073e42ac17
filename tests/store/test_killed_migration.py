"""A migration that is killed at any statement leaves the old database, and starts again."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from asgard_async.store.migrate import migrate, packaged_migrations
from tests.store.test_migrate import version

DIES_AT = """\
import os, signal, sqlite3, sys
from asgard_async.store.migrate import migrate, packaged_migrations

left = int(sys.argv[2])

def count(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.set_trace_callback(count)
migrate(connection, packaged_migrations())
"""


def schema_of(file: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@pytest.mark.slow
def test_a_migration_killed_at_each_statement_starts_again(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    with closing(sqlite3.connect(whole, isolation_level=None)) as connection:
        migrate(connection, packaged_migrations())
    killed = 0
    while True:
        file = tmp_path / f"{killed}.db"
        done = subprocess.run(
            [sys.executable, "-c", DIES_AT, file, str(killed)], check=False, timeout=60
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            assert version(connection) < len(packaged_migrations())
            migrate(connection, packaged_migrations())
        assert schema_of(file) == schema_of(whole)
        killed += 1
    assert killed > 3 * len(packaged_migrations())
