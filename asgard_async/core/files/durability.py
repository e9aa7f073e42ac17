"""Making what was written survive a loss of power."""

import os
from pathlib import Path


def make_durable(path: Path) -> None:
    """Bring a file's content, or the names in a directory, to the disk (fsync(2)); blocks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
