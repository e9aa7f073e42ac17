"""The files of a data directory that a backup contains, in an order that makes it consistent.

The databases come first, the jobs before MLflow: whatever a row of a snapshot refers to was written
before it, and is therefore there when the files are copied afterwards. A log comes before the
record of its hole, so no zeros of a hole punched meanwhile can be read as output.
"""

import contextlib
import os
from collections.abc import Generator, Iterator
from pathlib import Path

from asgard_async.backups.staging import staging_directory
from asgard_async.backups.tree import LeftOut, OpenFile, open_file, open_tree
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.descent import open_below
from asgard_async.core.files.regular import open_regular
from asgard_async.core.files.remove_tree import entries_within
from asgard_async.domain.names import archive_of, is_valid, job_id_of
from asgard_async.store.backup import back_up

DATABASES = ("asgard.db", "mlflow/mlflow.db", "mlflow/auth.db")
SINGLE_FILES = ("instance", "tokens.json", "audit.log", "mlflow-server/server.json")
LOG_FILES = ("job.log", "job.log.hole", "job.log.times")
ARTIFACTS = ("mlflow", "artifacts")
NOTES = ".left-out"
"""The name of the last file, which lists what was left out; it belongs to no data directory."""


def is_content(path: str) -> bool:
    """Return whether a backup may contain a file with this path."""
    names = path.split("/")
    if any(name in {"", ".", ".."} or "\0" in name for name in names):
        return False
    match names:
        case ["archives", name]:
            return is_valid(archive_of, name)
        case ["jobs", job_id, name]:
            return is_valid(job_id_of, job_id) and name in LOG_FILES
        case ["mlflow", "artifacts", _, *_]:
            return True
    return path in {*DATABASES, *SINGLE_FILES}


def open_contents(data: DataDirectory, spool: Path) -> Generator[OpenFile, None, None]:
    """Open each file that belongs to a backup, and finally the notes.

    Snapshots of the databases are made in a directory below `spool`.

    Raises:
        BackupFailed: a database cannot be copied, or is damaged.
        OSError: a file cannot be read.
    """
    left_out = LeftOut()
    with staging_directory(spool, ".snapshot-") as directory:
        for name in DATABASES:
            if (data.root / name).exists():
                snapshot = directory / "snapshot.db"
                back_up(data.root / name, snapshot)
                descriptor = open_regular(snapshot)
                snapshot.unlink()
                with _closing(descriptor):
                    yield name, descriptor
    for path in SINGLE_FILES:
        *above, name = path.split("/")
        yield from _open_in(data.root, tuple(above), [name], left_out)
    archives = sorted(filter(_is_archive, entries_within(data.archives)))
    yield from _open_in(data.root, ("archives",), archives, left_out)
    for job_id in sorted(filter(_is_job_id, entries_within(data.jobs))):
        yield from _open_in(data.root, ("jobs", job_id), list(LOG_FILES), left_out)
    with _directory(data.root, left_out, *ARTIFACTS) as artifacts:
        if artifacts is not None:
            yield from open_tree(artifacts, "/".join(ARTIFACTS), left_out)
    with _closing(os.memfd_create("left-out", os.MFD_CLOEXEC)) as notes:
        os.write(notes, left_out.encode())
        yield NOTES, notes


def _open_in(
    root: Path, above: tuple[str, ...], names: list[str], left_out: LeftOut
) -> Iterator[OpenFile]:
    with _directory(root, left_out, *above) as directory:
        if directory is not None:
            for name in names:
                yield from open_file(name, "/".join((*above, name)), directory, left_out)


@contextlib.contextmanager
def _directory(root: Path, left_out: LeftOut, *names: str) -> Iterator[int | None]:
    try:
        directory = open_below(str(root), *names)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:  # replaced by a link, or not accessible
        left_out.add("/".join(names), error.strerror or str(error))
        yield None
        return
    with _closing(directory):
        yield directory


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_archive(name: str) -> bool:
    return is_valid(archive_of, name)


def _is_job_id(name: str) -> bool:
    return is_valid(job_id_of, name)
