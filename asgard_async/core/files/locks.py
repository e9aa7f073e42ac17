"""Lock files: a process holds a lock for as long as it uses a resource (flock(2))."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.files.regular import open_regular


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a shared lock on an existing file; wait while another process locks it exclusively."""
    descriptor = open_regular(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether any process holds a lock on the file; False if the file does not exist."""
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
