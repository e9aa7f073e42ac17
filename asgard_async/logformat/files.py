"""The files beside a log, written by the shim and read by the service.

`<log>.hole` contains the range of bytes that were punched out of the log: two numbers, start and
end. `<log>.times` contains the times of output: entries of two numbers, an offset and the time in
milliseconds since 1970 at which the output from that offset on was written.
"""

import errno
import os
import stat

HOLE_SUFFIX = ".hole"
TIMES_SUFFIX = ".times"
MAX_BYTES = 1 << 20
"""Several times what the shim writes. Without isolation, jobs can replace these files."""
ENTRY_BYTES = 16
"""Two unsigned 64-bit numbers in native byte order, since the file stays on the machine."""


def read_hole(path: str) -> "tuple[int, int]":
    """Return start and end of the hole in the log at `path`; (0, 0) if there is none."""
    try:
        start, end = _read(path + HOLE_SUFFIX).split()
        return int(start), int(end)
    except ValueError:
        return 0, 0


def read_times(path: str) -> "memoryview[int]":
    """Return offset, time, offset, time … of the log at `path`; skip an incomplete last entry."""
    entries = _read(path + TIMES_SUFFIX)
    return memoryview(entries[: len(entries) // ENTRY_BYTES * ENTRY_BYTES]).cast("Q")


def _read(path: str) -> bytes:
    """Return the content of a regular file, at most MAX_BYTES; nothing if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            return b""
        raise
    try:
        status = os.fstat(descriptor)
        is_regular = stat.S_ISREG(status.st_mode)
        return os.read(descriptor, min(status.st_size, MAX_BYTES)) if is_regular else b""
    finally:
        os.close(descriptor)
