"""Writes that survive a power failure."""

import os
from pathlib import Path


def make_durable(path: Path) -> None:
    """Flush a file's content, or a directory's entries, to disk (fsync(2)). Blocks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
