"""Restoring of a backup into an empty directory."""

import contextlib
import os
import sqlite3
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from asgard_async.backups.contents import is_content
from asgard_async.backups.copying import copy_content, make_private, sync_file_system
from asgard_async.backups.create import Versions
from asgard_async.backups.manifest import (
    DESCRIPTION,
    FORMAT,
    MAX_DESCRIPTION_BYTES,
    Description,
    NotABackup,
    files_of,
)
from asgard_async.backups.tree import OpenFile
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.descent import open_below
from asgard_async.core.files.regular import DIRECTORY, open_regular
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.domain.status import Phase
from asgard_async.store.migrate import packaged_migrations

IGNORED = "lost+found"
"""A directory in every newly created ext file system."""


class RestoreRefused(Exception):
    """The backup cannot be restored here; the text says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A restored data directory."""

    description: Description
    running: int
    queued: int
    """Jobs that were running, and queued, when the backup was made."""


def open_backup(backup: Path) -> Generator[OpenFile, None, None]:
    """Open the description of a backup, then its files; a name starts with size and digest.

    Raises:
        NotABackup: the directory is none, or is damaged.
    """
    Description.read(backup)
    with _opened(backup, DESCRIPTION) as descriptor:
        yield DESCRIPTION, descriptor
    with files_of(backup) as files:
        for path, size, digest in files.execute(
            "SELECT path, size, digest FROM files ORDER BY path"
        ):
            name = os.fsdecode(path)
            if not is_content(name):
                raise NotABackup(f"{backup} is damaged: it lists {name!a}")
            with _opened(backup, name) as descriptor:
                yield f"{size} {digest.hex()} {name}", descriptor


def restore(files: Iterator[OpenFile], data: DataDirectory, versions: Versions) -> Restored:
    """Restore the files that `open_backup` yields into a directory that is empty or missing.

    Until the end, a file marks the directory as incomplete, so that no service starts there. After
    an error, the directory is empty again.

    Raises:
        RestoreRefused: the directory is not empty, or the backup needs newer versions.
        NotABackup: the backup is damaged.
        ConfigError: the directory cannot be created.
        OSError: a file cannot be written.
    """
    _check_empty(data)
    _, descriptor = next(files)
    description = Description.decode(os.pread(descriptor, MAX_DESCRIPTION_BYTES, 0))
    _check_versions(description, versions)
    make_private(data.root)
    data.restoring.touch(mode=0o600)
    try:
        data.make()
        count = sum(_restore_file(name, descriptor, data.root) for name, descriptor in files)
        if count != description.files:
            raise NotABackup(f"The backup lists {count} of {description.files} files; use another")
        restored = Restored(
            description=description,
            running=_jobs_in(data.database, set(Phase) - {Phase.QUEUED, Phase.FINISHED}),
            queued=_jobs_in(data.database, {Phase.QUEUED}),
        )
        _sync(data.root)
    except BaseException:
        _empty(data)
        raise
    data.restoring.unlink()
    _sync(data.root)
    return restored


@contextlib.contextmanager
def _opened(backup: Path, path: str) -> Iterator[int]:
    *above, name = path.split("/")
    try:
        directory = open_below(str(backup), *above)
        try:
            descriptor = open_regular(name, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise NotABackup(
            f"{path!a} of the backup cannot be read: {error.strerror}; use another backup"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _restore_file(name: str, descriptor: int, root: Path) -> int:
    size, digest, path = name.split(" ", 2)
    if not is_content(path):
        raise NotABackup(f"{path!a} does not belong to a data directory")
    target = root / path
    make_private(target.parent)
    copy = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        content = copy_content(descriptor, copy)
    finally:
        os.close(copy)
    if (content.size, content.digest.hex()) != (int(size), digest):
        raise NotABackup(f"{path!a} of the backup is damaged; use another backup")
    return 1


def _check_empty(data: DataDirectory) -> None:
    try:
        names = [name for name in os.listdir(data.root) if name != IGNORED]  # noqa: PTH208
    except FileNotFoundError:
        return
    if data.restoring.name in names:
        raise RestoreRefused(
            f"A restore into {data.root} was interrupted: delete its contents, and try again"
        )
    if names:
        raise RestoreRefused(
            f"{data.root} is not empty ({min(names)}): choose a new directory with --data-dir, or"
            " move this one away after stopping its service"
        )


def _check_versions(description: Description, versions: Versions) -> None:
    if description.format > FORMAT:
        raise RestoreRefused(
            f"The backup was made by Asgard {description.asgard} in a newer format: install that"
            " version"
        )
    newest = packaged_migrations()[-1].version
    if description.schema > newest:
        raise RestoreRefused(
            f"The backup has schema {description.schema}, and this Asgard ({versions.asgard}) knows"
            f" {newest}: install Asgard {description.asgard} or newer"
        )
    if _is_newer(description.mlflow, versions.mlflow):
        raise RestoreRefused(
            f"The backup was made with MLflow {description.mlflow}, whose database MLflow"
            f" {versions.mlflow} may not read: install mlflow=={description.mlflow} or newer"
        )


def _is_newer(one: str, other: str) -> bool:
    try:
        return Version(one) > Version(other)
    except InvalidVersion:  # unknown
        return False


def _jobs_in(database: Path, phases: set[Phase]) -> int:
    marks = ", ".join("?" * len(phases))
    statement = f"SELECT count(*) FROM jobs WHERE phase IN ({marks})"  # noqa: S608
    with contextlib.closing(
        sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    ) as connection:
        (count,) = connection.execute(statement, [str(phase) for phase in phases]).fetchone()
    return int(count)


def _empty(data: DataDirectory) -> None:
    """Remove what was restored, the mark last."""
    for name in os.listdir(data.root):  # noqa: PTH208
        if name not in {IGNORED, data.restoring.name}:
            remove_tree(data.root / name)
    data.restoring.unlink(missing_ok=True)


def _sync(root: Path) -> None:
    directory = os.open(root, DIRECTORY)
    try:
        sync_file_system(directory)
    finally:
        os.close(directory)
