"""The members of an archive, one after the other, each refused before it can do harm."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .names import ArchiveLimits, ArchiveRefused, Tally, shown

BLOCK = 1 << 18
ZIP, TAR_GZ = ".zip", ".tar.gz"
SUFFIXES = {".zip": ZIP, ".tar.gz": TAR_GZ, ".tgz": TAR_GZ}
"""The endings of archives that are taken, and the one that each is kept under."""

ENCRYPTED = 0x1 | 0x40 | 0x2000  # also "strong" and with a masked directory
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
LOCAL_HEADER_BYTES = 30
TAR_OVERHEAD_PER_MEMBER = 4096
TAR_OVERHEAD = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Member:
    """A regular file or a directory."""

    path: str
    """Checked, relative, without `.` and `..`; empty for the target itself."""
    is_directory: bool
    is_executable: bool
    blocks: Iterator[bytes]
    """Its content as it really is; to be read before the next member is asked for."""


def members(archive: Path, limits: ArchiveLimits) -> Iterator[Member]:
    """The members of an archive in its order.

    Raises:
        ArchiveRefused: at the first that is not taken, also while blocks are read.
    """
    read = _zip_members if archive.name.endswith(ZIP) else _tar_members
    with archive.open("rb") as file, _damage_refused():
        yield from read(file, Tally(limits, _size_of(file)), limits)


def _size_of(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


@contextmanager
def _damage_refused() -> Iterator[None]:
    try:
        yield
    except (ArchiveRefused, MemoryError):
        raise
    # zipfile and tarfile let through whatever they stumble over in a crafted file
    except Exception as error:
        raise ArchiveRefused(
            f"The archive is damaged, or not what its name says ({type(error).__name__})."
        ) from error


def _counted(content: IO[bytes], tally: Tally, claimed: int) -> Iterator[bytes]:
    size = 0
    while True:
        with _damage_refused():
            block = content.read(BLOCK)
        if not block:
            break
        size += len(block)
        tally.count(len(block))
        yield block
    if size != claimed:
        raise ArchiveRefused("The archive is damaged: a member has another size than it says.")


# --- zip ----------------------------------------------------------------------------------


def _zip_members(file: IO[bytes], tally: Tally, limits: ArchiveLimits) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        tally.check_count(len(infos))
        _refuse_overlaps(infos, archive.start_dir)
        for info in infos:
            mode = info.external_attr >> 16
            _refuse_special(info, mode)
            # not `filename`: that ends at the first NUL
            path = tally.admit(info.orig_filename, is_directory=info.is_dir())
            if info.is_dir():
                yield _directory(path)
                continue
            with archive.open(info) as content:
                yield Member(
                    path=path,
                    is_directory=False,
                    is_executable=bool(mode & stat.S_IXUSR),
                    blocks=_counted(content, tally, info.file_size),
                )


def _refuse_special(info: zipfile.ZipInfo, mode: int) -> None:
    name = shown(info.orig_filename)
    if info.flag_bits & ENCRYPTED:
        raise ArchiveRefused(f"The archive is encrypted ({name}); send it without a password.")
    if stat.S_ISLNK(mode):
        raise ArchiveRefused(f"The archive holds a link: {name}; put the file itself in its place.")
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ArchiveRefused(f"The archive holds something that is no file: {name}.")
    if info.compress_type not in METHODS:
        raise ArchiveRefused(
            f"The archive has {name} compressed by a method other than deflate; pack it anew."
        )


def _refuse_overlaps(infos: list[zipfile.ZipInfo], end: int) -> None:
    """Members that share bytes: how a small file claims to hold very much.

    zipfile itself notices since 3.11.8 and 3.12.2.
    """
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        size = LOCAL_HEADER_BYTES + info.compress_size
        if info.header_offset + size > end:
            raise ArchiveRefused("Members of the archive overlap each other; pack it anew.")
        end = info.header_offset


# --- tar ----------------------------------------------------------------------------------


class _Metered(io.RawIOBase):
    """What comes out of gzip, headers included, as far as an archive within limits can reach."""

    def __init__(self, content: gzip.GzipFile, limits: ArchiveLimits, archive_bytes: int) -> None:
        self._content = content
        self._limits = limits
        self._archive_bytes = archive_bytes
        self._spare = limits.max_members * TAR_OVERHEAD_PER_MEMBER + TAR_OVERHEAD
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        block = self._content.read(size)
        self._read += len(block)
        if refusal := self._limits.refusal_of(self._read, self._archive_bytes, spare=self._spare):
            raise ArchiveRefused(refusal)
        return block


def _tar_members(file: IO[bytes], tally: Tally, limits: ArchiveLimits) -> Iterator[Member]:
    with gzip.GzipFile(fileobj=file) as content:
        stream = _Metered(content, limits, _size_of(file))
        # "r|": one pass, no seeking back to what was checked
        with tarfile.open(
            fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape"
        ) as archive:
            for info in archive:
                _refuse_special_tar(info)
                path = tally.admit(info.name, is_directory=info.isdir())
                if info.isdir():
                    yield _directory(path)
                    continue
                data = archive.extractfile(info)
                assert data is not None  # noqa: S101  # it is a regular file
                with data:
                    yield Member(
                        path=path,
                        is_directory=False,
                        is_executable=bool(info.mode & stat.S_IXUSR),
                        blocks=_counted(data, tally, info.size),
                    )
        while stream.read(BLOCK):  # up to gzip's checksum, which vouches for all before it
            pass


def _refuse_special_tar(info: tarfile.TarInfo) -> None:
    name = shown(info.name)
    if info.issym() or info.islnk():
        raise ArchiveRefused(f"The archive holds a link: {name}; put the file itself in its place.")
    if info.issparse():
        raise ArchiveRefused(f"The archive holds a sparse file: {name}; pack it without --sparse.")
    if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}:
        raise ArchiveRefused(f"The archive holds something that is no file: {name}.")


def _directory(path: str) -> Member:
    return Member(path=path, is_directory=True, is_executable=False, blocks=iter(()))
