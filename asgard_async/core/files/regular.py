"""Opening of files where something else may stand in their place.

A link would lead elsewhere, a FIFO would block, and a device might do anything. These functions
open regular files only.
"""

import errno
import os
import stat
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""The flags that open a directory, but not a link to one."""


class NotRegular(OSError):
    """There is something other than a regular file of a sensible size."""


def open_regular(
    file: Path | str, flags: int = os.O_RDONLY, *, dir_fd: int | None = None, mode: int = 0o600
) -> int:
    """Open a regular file, without following a link, and return its descriptor.

    Raises:
        NotRegular: it is not a regular file.
        OSError: it cannot be opened.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link; a socket or FIFO
            raise NotRegular(error.errno, "Not a regular file", str(file)) from error
        raise
    return checked_regular(descriptor, file)


def checked_regular(descriptor: int, file: Path | str) -> int:
    """Return the descriptor if it refers to a regular file; otherwise close it.

    Raises:
        NotRegular: it does not.
    """
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotRegular(errno.EINVAL, "Not a regular file", str(file))


def read_regular(file: Path | str, *, max_bytes: int, dir_fd: int | None = None) -> bytes:
    """Return the content of a regular file.

    Raises:
        NotRegular: it is not a regular file, or has more than `max_bytes`.
        OSError: it cannot be read.
    """
    with os.fdopen(open_regular(file, dir_fd=dir_fd), "rb") as opened:
        content = opened.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise NotRegular(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
    return content
