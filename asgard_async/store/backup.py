"""Copies of SQLite databases that others write to meanwhile."""

import contextlib
import os
import sqlite3
from pathlib import Path

from asgard_async.core.files.durability import make_durable


class BackupFailed(Exception):
    """The copy could not be made, or is damaged; the text says why."""


def back_up(source: Path, target: Path) -> int:
    """Copy a database as it is at one moment, and check the copy; its size in bytes.

    Writers go on meanwhile, also those of other processes: with a write-ahead log the copy is one
    long read. `target` appears when it is whole and durable; one that is there is replaced.

    Raises:
        BackupFailed: see there.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as theirs,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            theirs.backup(copy)
            # a file by itself: no log beside it to forget
            copy.execute("PRAGMA journal_mode = DELETE")
            found = [row[0] for row in copy.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            raise BackupFailed(f"{source} is damaged: {'; '.join(found[:3])}")
        make_durable(partial)
        partial.replace(target)
        make_durable(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size
