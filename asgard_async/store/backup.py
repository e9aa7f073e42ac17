"""Backups of SQLite databases that are in use, and of files."""

import contextlib
import os
import sqlite3
from pathlib import Path

from asgard_async.core.files.durability import make_durable
from asgard_async.core.files.regular import open_regular

BLOCK_BYTES = 1 << 20


class BackupFailed(Exception):
    """A file could not be copied, or the copy is damaged; the text says why."""


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
        # closed last: closing any descriptor of the file releases the locks of SQLite
        with (
            os.fdopen(open_regular(source), "rb") as pinned,
            contextlib.closing(_open_read_only(source)) as original,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            original.execute("PRAGMA schema_version").fetchone()
            _check_same_file(source, pinned.fileno())
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


def copy_file(source: int, target: Path) -> None:
    """Copy an open file, including its holes, to a private file that appears once it is complete.

    Raises:
        OSError: The file cannot be copied.
    """
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        copy = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _copy_content(source, copy)
        finally:
            os.close(copy)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    make_durable(target.parent)


def _copy_content(source: int, copy: int) -> None:
    """Copy the content that the file has now, and its modification time."""
    status = os.fstat(source)
    os.ftruncate(copy, status.st_size)
    end = 0
    while end < status.st_size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError:  # ENXIO: there is only a hole up to the end
            break
        end = min(os.lseek(source, start, os.SEEK_HOLE), status.st_size)
        while start < end:
            data = os.pread(source, min(BLOCK_BYTES, end - start), start)
            if not data:  # the file was shortened
                break
            start += os.pwrite(copy, data, start)
        if start < end:
            break
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.fsync(copy)


def _open_read_only(source: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)


def _check_same_file(source: Path, pinned: int) -> None:
    """Check that SQLite, which takes a path, has opened the file that this process examined.

    The embedded MLflow server's directory belongs to the server's user, who could put a link there.

    Raises:
        BackupFailed: SQLite has opened another file.
    """
    if os.geteuid() != 0:
        return  # there is nothing that only this process could read
    opened = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            opened += os.path.samestat(os.fstat(int(path.name)), os.fstat(pinned))
    if opened < 2:
        raise BackupFailed(f"{source} was replaced while it was opened; try again")
