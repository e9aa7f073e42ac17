"""Packing a directory into an archive."""

import gzip
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

MAX_ARCHIVE_BYTES = 100 << 20
"""The service's default limit for uploads."""


def write_archive(directory: Path, file: IO[bytes], max_bytes: int = MAX_ARCHIVE_BYTES) -> None:
    """Write the contents of `directory` to `file` as a reproducible .tar.gz.

    Hidden files (whose names begin with a dot), `__pycache__` and virtual environments are
    skipped.

    Raises:
        ValueError: the directory has a link or special file, or the archive is too large.
        OSError: a file cannot be read.
    """
    # without times and owners, because an idempotency key must always match the same content
    with (
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _files(directory):
            name = path.relative_to(directory).as_posix()
            with path.open("rb") as content:
                status = os.fstat(content.fileno())
                member = tarfile.TarInfo(name)
                member.size = status.st_size
                member.mode = 0o755 if status.st_mode & 0o100 else 0o644
                tar.addfile(member, content)
            _check_size(file, directory, max_bytes)
    _check_size(file, directory, max_bytes)  # closing the archive compresses the rest


def _check_size(file: IO[bytes], directory: Path, max_bytes: int) -> None:
    if file.tell() > max_bytes:
        raise ValueError(
            f"The archive of {directory} exceeds {max_bytes} bytes. Leave data out, or create the"
            " archive yourself if the service accepts larger ones."
        )


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_symlink():
            raise ValueError(f"{path} is a link; archives must not contain links.")
        if path.is_dir():
            if not (path / "pyvenv.cfg").exists():
                yield from _files(path)
        elif path.is_file():
            yield path
        else:
            raise ValueError(f"{path} is neither a file nor a directory.")
