"""Checks of the data directory, the disk, the database and the clock."""

import contextlib
import os
import shlex
import sqlite3
import time
from datetime import datetime
from pathlib import Path

from asgard_async.cli.checks.finding import Finding, Level
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.free_space import FreeSpace
from asgard_async.store.migrate import packaged_migrations

DATABASE_SECONDS = 5.0
RESTORE_BACKUP = "restore a backup made by 'asgard db backup'"


async def data_directory(config: Config, data: DataDirectory) -> Finding:
    """Check that the data directory belongs to this user, is writable and private."""
    about, root = "data directory", data.root
    if not root.exists():
        return Finding(
            about,
            Level.FAIL,
            f"there is no {root}",
            "name the service's with --data-dir, or its address in ASGARD_URL; before the first"
            " start, --create makes it",
        )
    status = root.stat()
    if status.st_uid != os.geteuid():
        return Finding(
            about,
            Level.FAIL,
            f"{root} belongs to another user (uid {status.st_uid})",
            f"run this as that user, or: chown -R {os.geteuid()} {shlex.quote(str(root))}",
        )
    if status.st_mode & 0o066:  # others may traverse the directory: jobs can run as other users
        return Finding(
            about,
            Level.FAIL,
            f"{root} is accessible to other users",
            f"chmod 700 {shlex.quote(str(root))}",
        )
    if not os.access(root, os.W_OK):
        return Finding(about, Level.FAIL, f"{root} is not writable", "mount it read-write")
    return Finding(about, Level.OK, str(root))


async def disk(config: Config, data: DataDirectory) -> Finding:
    """Check that the disk has enough free space for jobs."""
    remedy = "delete old jobs, or free disk space"
    existing = next(path for path in (data.root, *data.root.parents) if path.exists())
    space = FreeSpace(existing, floor_bytes=config.server.min_free_mb << 20)
    free = f"{space.available_bytes() / 1e9:.1f} GB free"
    if space.is_short():
        floor = f"[server] min_free_mb = {config.server.min_free_mb}"
        return Finding("disk", Level.FAIL, f"{free}, less than {floor}", remedy)
    if space.available_bytes() < 4 * space.floor_bytes:
        return Finding("disk", Level.WARN, free, remedy)
    return Finding("disk", Level.OK, free)


async def database(config: Config, data: DataDirectory) -> Finding:
    """Check that the database is intact and that this version supports its schema."""
    about, file, newest = "database", data.database, packaged_migrations()[-1].version
    if not file.exists():
        return Finding(about, Level.OK, "is created at the first start")
    try:
        with contextlib.closing(_open_read_only(file)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (integrity,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return Finding(about, Level.FAIL, str(error), RESTORE_BACKUP)
    if integrity != "ok":
        return Finding(about, Level.FAIL, integrity, RESTORE_BACKUP)
    if version > newest:
        return Finding(
            about,
            Level.FAIL,
            f"has schema {version}; this version of Asgard supports up to {newest}",
            "install the version of Asgard that wrote it",
        )
    pending = f"; the next start migrates it to {newest}" if version < newest else ""
    return Finding(about, Level.OK, f"schema {version}{pending}")


async def clock(config: Config, data: DataDirectory) -> Finding:
    """Check that the clock is not behind the newest job's time."""
    current_time = Finding("clock", Level.OK, time.strftime("%Y-%m-%d %H:%M:%S %z"))
    if not data.database.exists():
        return current_time
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(_open_read_only(data.database)) as connection,
    ):
        (text,) = connection.execute("SELECT max(created_at) FROM jobs").fetchone()
        if text and (ahead := datetime.fromisoformat(text).timestamp() - time.time()) > 1:
            return Finding(
                "clock",
                Level.FAIL,
                f"the newest job was created {ahead:.0f} s in the future",
                "set the clock (timedatectl set-ntp true); job times and order depend on it",
            )
    return current_time


def _open_read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=DATABASE_SECONDS
    )
