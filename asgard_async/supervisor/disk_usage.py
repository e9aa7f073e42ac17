"""Disk space used by files."""

import stat
import time
from dataclasses import dataclass
from pathlib import Path

from asgard_async.supervisor.shim.disk import LEAST_BYTES, size_of_entry
from asgard_async.supervisor.shim.walk import Walk

MAX_SECONDS = 60.0
"""Time for one tree. Only a tree to which a running job keeps adding directories takes so long."""
CHECK_EVERY = 1024


@dataclass(frozen=True, kw_only=True)
class DiskUsage:
    """The disk space of a file or tree."""

    size_bytes: int
    is_complete: bool = True
    """False if parts of it could not be measured; the size then covers the rest."""


def usage_of(path: Path, *, max_seconds: float = MAX_SECONDS) -> DiskUsage:
    """Measure a file or tree; hard-linked files count proportionally.

    A tree that cannot be measured completely counts at least 4 KiB for each known entry.
    """
    try:
        status = path.lstat()
    except OSError:  # deleted meanwhile
        return DiskUsage(size_bytes=0)
    total = size_of_entry(status)
    if not stat.S_ISDIR(status.st_mode):
        return DiskUsage(size_bytes=total)
    walk, entries, deadline = Walk([str(path)]), 0, time.monotonic() + max_seconds
    is_complete = True
    for entries, status in enumerate(walk, 1):
        total += size_of_entry(status)
        if entries % CHECK_EVERY == 0 and time.monotonic() > deadline:
            is_complete = False
            break
    if is_complete and walk.is_complete:
        return DiskUsage(size_bytes=total)
    return DiskUsage(size_bytes=max(total, entries * LEAST_BYTES), is_complete=False)


def size_of(path: Path) -> int:
    """Return the disk space of a file or tree in bytes; see `usage_of`."""
    return usage_of(path).size_bytes
