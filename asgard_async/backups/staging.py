"""Directories for unfinished work, which are removed if the process that made them was killed."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.files.regular import DIRECTORY
from asgard_async.core.files.remove_tree import entries_within, remove_tree


@contextlib.contextmanager
def staging_directory(above: Path, prefix: str) -> Iterator[Path]:
    """Make a directory, and remove it at the end unless it was renamed.

    Those of processes that are gone are removed first: each process holds a lock on its own.

    Raises:
        OSError: the directory cannot be made.
    """
    _remove_abandoned(above, prefix)
    directory, lock = _make_locked(above, prefix)
    try:
        yield directory
    finally:
        remove_tree(directory)
        os.close(lock)


def _make_locked(above: Path, prefix: str) -> tuple[Path, int]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=above))
        lock = os.open(directory, DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.exists():  # otherwise another process has just taken it for abandoned
            return directory, lock
        os.close(lock)


def _remove_abandoned(above: Path, prefix: str) -> None:
    for name in entries_within(above):
        if not name.startswith(prefix):
            continue
        with contextlib.suppress(OSError):  # a file, another user's, or gone
            lock = os.open(above / name, DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(above / name)
            finally:
                os.close(lock)
