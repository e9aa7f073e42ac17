"""A backup is the database of one moment, whatever is written meanwhile."""

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from asgard_async.store.backup import BackupFailed, back_up

ROWS = 20_000


def made(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE pairs (left INTEGER, right INTEGER, filler TEXT)")
    return connection


def test_a_copy_under_load_is_consistent(tmp_path: Path) -> None:
    source, target = tmp_path / "source.db", tmp_path / "copy.db"
    done = threading.Event()
    with contextlib.closing(made(source)) as writer:
        writer.execute("BEGIN")
        writer.executemany("INSERT INTO pairs VALUES (0, 0, ?)", [("x" * 500,)] * ROWS)
        writer.execute("COMMIT")

        def keep_writing() -> None:
            number = 0
            while not done.is_set():
                number += 1
                # in every committed state, both columns are equal
                writer.execute("UPDATE pairs SET left = ?, right = ?", (number, number))

        thread = threading.Thread(target=keep_writing)
        thread.start()
        try:
            sizes = [back_up(source, target) for _ in range(3)]
        finally:
            done.set()
            thread.join()
    assert sizes[-1] > ROWS * 500
    with contextlib.closing(sqlite3.connect(target)) as copy:
        (found,) = copy.execute("SELECT count(DISTINCT left || ' ' || right) FROM pairs").fetchone()
        assert found == 1
        assert copy.execute("SELECT count(*) FROM pairs").fetchone() == (ROWS,)
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == ["copy.db"]


def test_a_damaged_database_keeps_the_previous_backup(tmp_path: Path) -> None:
    source, target = tmp_path / "source.db", tmp_path / "copy.db"
    with contextlib.closing(made(source)) as writer:
        writer.executemany("INSERT INTO pairs VALUES (1, 1, ?)", [("x" * 500,)] * 1000)
    target.write_bytes(b"the old one")
    with source.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 5)
    with pytest.raises(BackupFailed):
        back_up(source, target)
    assert target.read_bytes() == b"the old one"
    assert not list(tmp_path.glob("*.partial"))


def test_a_missing_database_cannot_be_backed_up(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="cannot be copied"):
        back_up(tmp_path / "none.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
