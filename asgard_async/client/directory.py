"""Packing a directory into an archive."""

import errno
import gzip
import os
import stat
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
        for name, content in _files(directory):
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


def _files(directory: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of each file, in a fixed order.

    The directory may belong to somebody else, who can change it at any moment: files and
    directories are opened below directories that are already open, and links are not followed.
    """
    if os.open in os.supports_dir_fd:
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield from _files_below(top, directory, "")
        finally:
            os.close(top)
    else:  # Windows
        yield from _files_by_path(directory, directory)


def _files_below(descriptor: int, directory: Path, prefix: str) -> Iterator[tuple[str, IO[bytes]]]:
    for name in sorted(os.listdir(descriptor)):
        if _is_skipped(name):
            continue
        path = directory / name
        opened = _open_entry(descriptor, name, path)
        try:
            mode = os.fstat(opened).st_mode
            if stat.S_ISDIR(mode):
                if not _exists("pyvenv.cfg", opened):
                    yield from _files_below(opened, path, f"{prefix}{name}/")
            elif stat.S_ISREG(mode):
                with os.fdopen(opened, "rb", closefd=False) as content:
                    yield f"{prefix}{name}", content
            else:
                raise _special(path)
        finally:
            os.close(opened)


def _open_entry(parent: int, name: str, path: Path) -> int:
    try:
        # without O_NONBLOCK, a FIFO would block
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(path) from error
        if error.errno in {errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP}:  # a socket, for example
            raise _special(path) from error
        raise


def _exists(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent)
    except OSError:
        return False
    return True


def _files_by_path(directory: Path, top: Path) -> Iterator[tuple[str, IO[bytes]]]:
    for path in sorted(directory.iterdir()):
        if _is_skipped(path.name):
            continue
        if path.is_symlink():
            raise _link(path)
        if path.is_dir():
            if not (path / "pyvenv.cfg").exists():
                yield from _files_by_path(path, top)
        elif path.is_file():
            with path.open("rb") as content:
                yield path.relative_to(top).as_posix(), content
        else:
            raise _special(path)


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _link(path: Path) -> ValueError:
    return ValueError(f"{path} is a link; archives must not contain links.")


def _special(path: Path) -> ValueError:
    return ValueError(f"{path} is neither a file nor a directory.")
