"""Copies of files with their digests: without their holes, and by reflink where that works.

The digest covers the blocks that are not all zeros, with their numbers. So it does not depend on
holes, and a log with a hole of a terabyte costs no more than what it contains.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 1 << 20
ZEROS = bytes(BLOCK_BYTES)
FICLONE = 0x40049409
"""The ioctl that makes a file share the content of another one; see ioctl_ficlone(2)."""
NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}


@dataclass(frozen=True, kw_only=True)
class Content:
    """Size and digest of a file."""

    size: int
    digest: bytes


def copy_content(source: int, copy: int) -> Content:
    """Copy what an open file contains now into an empty one, with its modification time.

    Raises:
        OSError: the file cannot be copied.
    """
    status = os.fstat(source)
    if _clone(source, copy):
        size = os.fstat(copy).st_size
        digest = _digest(copy, size, None)
    else:
        size = status.st_size
        digest = _digest(source, size, copy)
        os.ftruncate(copy, size)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    return Content(size=size, digest=digest)


def make_private(directory: Path) -> None:
    """Make a directory, and those above it that are missing, accessible to the owner only."""
    if not directory.exists():
        make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def sync_file_system(directory: int) -> None:
    """Flush the file system that an open directory is on: much cheaper than a call per file.

    Raises:
        OSError: something could not be written.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(directory) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _digest(source: int, size: int, copy: int | None) -> bytes:
    """Return the digest of the first `size` bytes; write them to `copy`, if any."""
    digest = hashlib.sha256(size.to_bytes(8, "big"))
    for number in _blocks_with_data(source, size):
        start = number * BLOCK_BYTES
        length = min(BLOCK_BYTES, size - start)
        block = os.pread(source, length, start)
        if block == ZEROS[: len(block)]:
            continue
        if copy is not None:
            _write(copy, block, start)
        digest.update(number.to_bytes(8, "big"))
        digest.update(block.ljust(length, b"\0"))  # the file may have been shortened
    return digest.digest()


def _blocks_with_data(source: int, size: int) -> Iterator[int]:
    """Yield the numbers of the blocks that are not only a hole."""
    next_block = 0
    while (start := next_block * BLOCK_BYTES) < size:
        try:
            data = os.lseek(source, start, os.SEEK_DATA)
            end = min(os.lseek(source, data, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # there is only a hole up to the end
                return
            raise
        first, last = data // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        yield from range(first, last + 1)
        next_block = max(first, last) + 1


def _write(copy: int, block: bytes, start: int) -> None:
    rest = memoryview(block)
    while rest:
        written = os.pwrite(copy, rest, start)
        rest, start = rest[written:], start + written


def _clone(source: int, copy: int) -> bool:
    try:
        fcntl.ioctl(copy, FICLONE, source)
    except OSError as error:
        if error.errno in NO_CLONE:
            return False
        raise
    return True
