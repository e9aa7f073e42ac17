"""Packing a directory into an archive."""

import gzip
import os
import tarfile
from pathlib import Path
from typing import IO

from asgard_async.client.directory_contents import Contents, Entry

MAX_ARCHIVE_BYTES = 100 << 20
"""The service's default limit for uploads."""


def write_archive(
    directory: Path | Contents, file: IO[bytes], max_bytes: int = MAX_ARCHIVE_BYTES
) -> list[str]:
    """Write the contents of `directory` to `file` as a reproducible .tar.gz.

    `Contents` that were scanned before are not looked up again.

    Returns:
        What was left out, each with the reason; see `Contents`.

    Raises:
        ValueError: the archive is too large.
        OSError: a file cannot be read.
    """
    contents = directory if isinstance(directory, Contents) else Contents(directory)
    # without times and owners, because an idempotency key must always match the same content
    with (
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for entry in contents.entries():
            _add(tar, entry)
            _check_size(file, contents.directory, max_bytes)
    _check_size(file, contents.directory, max_bytes)  # closing the archive compresses the rest
    return contents.left_out


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry.name)
    if entry.is_directory:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    with entry.opened() as content:
        status = os.fstat(content.fileno())
        member.size = status.st_size
        member.mode = 0o755 if status.st_mode & 0o100 else 0o644
        tar.addfile(member, content)


def _check_size(file: IO[bytes], directory: Path, max_bytes: int) -> None:
    if file.tell() > max_bytes:
        raise ValueError(
            f"The archive of {directory} exceeds {max_bytes} bytes. Leave data out, or create the"
            " archive yourself if the service accepts larger ones."
        )
