"""Writing of a backup next to earlier ones, with which it shares unchanged files."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from asgard_async.backups.contents import NOTES, is_content
from asgard_async.backups.copying import Content, copy_content, make_private, sync_file_system
from asgard_async.backups.manifest import (
    DESCRIPTION,
    FORMAT,
    Description,
    FileList,
    NotABackup,
    files_of,
    identity_of,
    newest_in,
)
from asgard_async.backups.tree import LeftOut, OpenFile
from asgard_async.core.files.durability import make_durable
from asgard_async.core.files.regular import DIRECTORY, read_regular

MAX_NOTES_BYTES = 1 << 20
MAX_SAME_SECOND = 100
SCHEMA_OFFSET = 60
"""The position of `PRAGMA user_version` in the header of a SQLite database."""


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Versions of the packages that make a backup."""

    asgard: str
    mlflow: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """A complete backup."""

    path: Path
    description: Description
    shared_bytes: int
    """Bytes of the files that are shared with the previous backup."""


def write_backup(
    files: Iterator[OpenFile],
    *,
    staging: Path,
    destination: Path,
    is_full: bool,
    versions: Versions,
    at: datetime,
) -> Made:
    """Write a backup into `staging`, and rename that once everything is on the disk.

    Unless `is_full`, files that have not changed since the newest backup in `destination` become
    hard links to the files there.

    Raises:
        OSError: a file cannot be copied.
        NotABackup: a file does not belong to a data directory.
    """
    writer = _Writer(staging)
    with contextlib.ExitStack() as stack:
        if not is_full and (newest := newest_in(destination)) is not None:
            with contextlib.suppress(NotABackup):  # a damaged one is not shared with
                Description.read(newest)
                writer.previous = stack.enter_context(_earlier(newest))
        with FileList(staging) as listed:
            for path, descriptor in files:
                writer.add(path, descriptor, listed)
    description = Description(
        format=FORMAT,
        made_at=at.isoformat(timespec="seconds"),
        instance=_text(staging / "instance"),
        asgard=versions.asgard,
        mlflow=versions.mlflow,
        schema=_schema(staging / "asgard.db"),
        files=listed.count,
        total_bytes=listed.total_bytes,
        left_out=writer.left_out.count,
        left_out_examples=writer.left_out.examples,
    )
    (staging / DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(description)))
    directory = os.open(staging, DIRECTORY)
    try:
        sync_file_system(directory)
    finally:
        os.close(directory)
    complete = _rename(staging, destination, f"{at:%Y-%m-%dT%H%M%SZ}")
    make_durable(destination)
    return Made(path=complete, description=description, shared_bytes=writer.shared_bytes)


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    path: Path
    files: sqlite3.Connection


@contextlib.contextmanager
def _earlier(path: Path) -> Iterator[_Earlier]:
    with files_of(path) as files:
        files.execute("SELECT 1 FROM files LIMIT 1").fetchone()
        yield _Earlier(path=path, files=files)


@dataclass
class _Writer:
    staging: Path
    previous: _Earlier | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    shared_bytes: int = 0
    _directory: str = ""

    def add(self, path: str, descriptor: int, listed: FileList) -> None:
        if path == NOTES:
            self.left_out = LeftOut.decode(os.pread(descriptor, MAX_NOTES_BYTES, 0))
            return
        if not is_content(path):
            raise NotABackup(f"{path!a} does not belong to a data directory")
        directory = path.rpartition("/")[0]
        if directory != self._directory:
            make_private(self.staging / directory)
            self._directory = directory
        identity = identity_of(descriptor)
        content = self._share(path, identity)
        if content is None:
            content = _copy(descriptor, self.staging / path)
        listed.add(path, content, identity)

    def _share(self, path: str, identity: str) -> Content | None:
        """Link the file of the previous backup, if the original has not changed since."""
        if self.previous is None:
            return None
        row = self.previous.files.execute(
            "SELECT size, digest FROM files WHERE path = ? AND identity = ?",
            (os.fsencode(path), identity),
        ).fetchone()
        if row is None:
            return None
        content = Content(size=row[0], digest=row[1])
        copy = self.staging / path
        try:
            os.link(self.previous.path / path, copy, follow_symlinks=False)
        except OSError:  # gone, too many links, or a file system without them
            return None
        status = copy.lstat()
        if status.st_size != content.size or copy.is_symlink():
            copy.unlink()
            return None
        self.shared_bytes += content.size
        return content


def _copy(descriptor: int, target: Path) -> Content:
    copy = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        content = copy_content(descriptor, copy)
        os.fchmod(copy, 0o400)  # later backups may share it
    finally:
        os.close(copy)
    return content


def _rename(staging: Path, destination: Path, name: str) -> Path:
    for number in range(1, MAX_SAME_SECOND):
        path = destination / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return staging.rename(path)
    raise FileExistsError(f"{destination / name} exists already")


def _schema(database: Path) -> int:
    with database.open("rb") as file:
        file.seek(SCHEMA_OFFSET)
        return int.from_bytes(file.read(4), "big")


def _text(file: Path) -> str:
    try:
        return read_regular(file, max_bytes=100).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
