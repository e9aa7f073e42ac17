"""Files that processes hold a lock of for as long as they need something (flock(2))."""

import fcntl
import os
from pathlib import Path


def is_held(path: Path) -> bool:
    """Whether any process holds a lock of the file; one that does not exist is held by none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
