"""Backups of SQLite databases that are in use."""

import contextlib
import os
import sqlite3
from pathlib import Path

from asgard_async.core.files.durability import make_durable


class BackupFailed(Exception):
    """The database could not be copied, or the copy is damaged; the text says why."""


def back_up(source: Path, target: Path) -> int:
    """Copy a consistent state of a database, check the copy, and return its size in bytes.

    Writers, including other processes, can continue: with a write-ahead log, the copy is one long
    read.
    `target` appears, or is replaced, once the copy is complete and durable.

    Raises:
        BackupFailed: The copy could not be made, or is damaged.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as original,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            original.backup(copy)
            # a single file, without a separate write-ahead log
            copy.execute("PRAGMA journal_mode = DELETE")
            findings = [row[0] for row in copy.execute("PRAGMA integrity_check")]
        if findings != ["ok"]:
            raise BackupFailed(f"{source} is damaged: {'; '.join(findings[:3])}")
        make_durable(partial)
        partial.replace(target)
        make_durable(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size
