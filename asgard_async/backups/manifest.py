"""The description of a backup: `backup.json`, and `files.db` with a row per file."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from asgard_async.backups.copying import Content
from asgard_async.core.files.regular import open_regular, read_regular

FORMAT = 1
PARTIAL = ".partial-"
"""How the name of a backup starts until it is complete."""
DESCRIPTION = "backup.json"
FILES = "files.db"
MAX_DESCRIPTION_BYTES = 1 << 20
SCHEMA = """
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, digest BLOB NOT NULL, identity TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


class NotABackup(Exception):
    """A directory is not a complete backup; the text says what it is."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A backup as a whole."""

    format: int
    made_at: str
    instance: str
    """The id of the data directory."""
    asgard: str
    mlflow: str
    """The versions that made the backup."""
    schema: int
    """The version of the schema of asgard.db."""
    files: int
    total_bytes: int
    left_out: int = 0
    left_out_examples: list[str] = []

    @classmethod
    def read(cls, backup: Path) -> Self:
        """Read the description of a backup.

        Raises:
            NotABackup: the directory is none.
        """
        try:
            content = read_regular(backup / DESCRIPTION, max_bytes=MAX_DESCRIPTION_BYTES)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotABackup(_what_else(backup)) from error
        except OSError as error:
            raise NotABackup(f"{backup / DESCRIPTION} cannot be read: {error.strerror}") from error
        return cls.decode(content)

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Return the description in a file's content.

        Raises:
            NotABackup: it is damaged.
        """
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotABackup(f"{DESCRIPTION} is damaged: {error}") from error


class FileList:
    """The rows of `files.db`, being written; a context manager."""

    def __init__(self, backup: Path) -> None:
        self._file = backup / FILES
        self.count = 0
        self.total_bytes = 0

    def __enter__(self) -> Self:
        os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        self._database = sqlite3.connect(self._file, isolation_level=None)
        # one transaction; the whole backup is flushed before it gets its name
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(SCHEMA)
        self._database.execute("BEGIN")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._database.execute("COMMIT")
        self._database.close()

    def add(self, path: str, content: Content, identity: str) -> None:
        """Add a file; `identity` tells whether the original is still unchanged."""
        row = os.fsencode(path), content.size, content.digest, identity
        self._database.execute("INSERT INTO files VALUES (?, ?, ?, ?)", row)
        self.count += 1
        self.total_bytes += content.size


@contextlib.contextmanager
def files_of(backup: Path) -> Iterator[sqlite3.Connection]:
    """Open the list of files of a complete backup.

    Raises:
        NotABackup: it is damaged; also raised for errors while the list is used.
    """
    file = backup / FILES
    try:
        os.close(open_regular(file))
        uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            yield database
    except (sqlite3.Error, OSError) as error:
        raise NotABackup(f"{file} is damaged: {error}; use another backup") from error


def identity_of(descriptor: int) -> str:
    """Return what changes whenever the content of a file changes."""
    status = os.fstat(descriptor)
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{status.st_dev} {status.st_ino} {status.st_size} {times}"


def _what_else(directory: Path) -> str:
    if not directory.is_dir():
        return f"There is no directory {directory}"
    if directory.name.startswith(PARTIAL):
        return f"{directory} is an unfinished backup; use another one"
    if newest := newest_in(directory):
        return f"{directory} contains backups; name one of them, such as {newest}"
    if (directory / "asgard.db").exists():
        return (
            f"{directory} has no {DESCRIPTION}: it was made by `asgard db backup` or is a data"
            " directory. Copy it to the place of the data directory: cp -a"
        )
    return f"{directory} is not a backup: it has no {DESCRIPTION}"


def newest_in(directory: Path) -> Path | None:
    """Return the newest complete backup in a directory, if any."""
    try:
        names = sorted(os.listdir(directory), reverse=True)  # noqa: PTH208
    except FileNotFoundError:
        return None
    return next(
        (
            directory / name
            for name in names
            if not name.startswith(".") and (directory / name / DESCRIPTION).is_file()
        ),
        None,
    )
