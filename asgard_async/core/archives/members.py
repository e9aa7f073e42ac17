"""Iteration over the members of an archive, with checks before each use."""

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

from .names import ArchiveLimits, ArchiveRefused, MemberTally, quoted
from .suffixes import ZIP
from .zip_names import zip_name

BLOCK = 1 << 18

ENCRYPTED = 0x1 | 0x40 | 0x2000  # plain, "strong", and with a masked central directory
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
LOCAL_HEADER_BYTES = 30
TAR_OVERHEAD_PER_MEMBER = 4096
TAR_OVERHEAD = 1 << 20
MAX_HEADER_BYTES = 64 << 10
"""Limit of the headers of one member, such as a long name or extended attributes."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A regular file or a directory."""

    path: str
    """Checked and relative, without `.` and `..`; empty for the target directory itself."""
    is_directory: bool
    is_executable: bool
    blocks: Iterator[bytes]
    """The actual content; read it before asking for the next member."""


def members(archive: Path, limits: ArchiveLimits) -> Iterator[Member]:
    """Yield the members of an archive in order.

    Raises:
        ArchiveRefused: a member is not acceptable; also raised while its blocks are read.
    """
    read = _zip_members if archive.name.endswith(ZIP) else _tar_members
    with archive.open("rb") as file, _damage_refused():
        yield from read(file, MemberTally(limits, _size_of(file)), limits)


def _size_of(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


@contextmanager
def _damage_refused() -> Iterator[None]:
    try:
        yield
    except (ArchiveRefused, MemoryError):
        raise
    # crafted files make zipfile and tarfile raise almost anything
    except Exception as error:
        raise ArchiveRefused(
            f"The archive is damaged, or its suffix is wrong ({type(error).__name__})."
        ) from error


def _counted(content: IO[bytes], tally: MemberTally, claimed: int) -> Iterator[bytes]:
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
        raise ArchiveRefused(
            "The archive is damaged: the size of a member differs from its header."
        )


# --- zip ----------------------------------------------------------------------------------


def _zip_members(file: IO[bytes], tally: MemberTally, limits: ArchiveLimits) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        tally.check_count(len(infos))
        _refuse_overlaps(infos, archive.start_dir)
        for info in infos:
            mode = info.external_attr >> 16
            _refuse_special(info, mode)
            path = tally.admit(zip_name(info), is_directory=info.is_dir())
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
    name = quoted(zip_name(info))
    if info.flag_bits & ENCRYPTED:
        raise ArchiveRefused(f"The archive is encrypted ({name}); create it without a password.")
    if stat.S_ISLNK(mode):
        raise ArchiveRefused(f"The archive contains a link: {name}; include the file itself.")
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise ArchiveRefused(f"The archive contains an entry that is not a regular file: {name}.")
    if info.compress_type not in METHODS:
        raise ArchiveRefused(
            f"{name} in the archive uses a compression other than deflate; create it again."
        )


def _refuse_overlaps(infos: list[zipfile.ZipInfo], end: int) -> None:
    """Reject overlapping members, with which a small file can unpack to a huge size.

    zipfile itself detects this since Python 3.11.8 and 3.12.2.
    """
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        size = LOCAL_HEADER_BYTES + info.compress_size
        if info.header_offset + size > end:
            raise ArchiveRefused("Members of the archive overlap; create it again.")
        end = info.header_offset


# --- tar ----------------------------------------------------------------------------------


class _Metered(io.RawIOBase):
    """Decompressed data with tar headers, limited to the size of an acceptable archive."""

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


class _ShortHeaders(tarfile.TarInfo):
    """A member whose extended headers are short. tarfile reads them into memory, several times."""

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        self._refuse_long()
        return super()._proc_pax(archive)  # type: ignore[misc,no-any-return]  # no public hook

    def _proc_gnulong(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        self._refuse_long()
        return super()._proc_gnulong(archive)  # type: ignore[misc,no-any-return]

    def _proc_sparse(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        raise _sparse(self)

    def _proc_gnusparse_10(self, info: tarfile.TarInfo, *_: object) -> None:
        raise _sparse(info)

    def _refuse_long(self) -> None:
        if self.size > MAX_HEADER_BYTES:
            raise ArchiveRefused(
                f"A header in the archive has more than {MAX_HEADER_BYTES} bytes; create it without"
                " extended attributes."
            )


def _tar_members(file: IO[bytes], tally: MemberTally, limits: ArchiveLimits) -> Iterator[Member]:
    with gzip.GzipFile(fileobj=file) as content:
        stream = _Metered(content, limits, _size_of(file))
        # "r|" reads in one pass and never seeks back to checked members
        with tarfile.open(
            fileobj=stream,
            mode="r|",
            encoding="utf-8",
            errors="surrogateescape",
            tarinfo=_ShortHeaders,
        ) as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else all headers are kept
                _refuse_special_tar(info)
                path = tally.admit(info.name, is_directory=info.isdir())
                if info.isdir():
                    yield _directory(path)
                    continue
                data = archive.extractfile(info)
                assert data is not None  # noqa: S101  # a regular file
                with data:
                    yield Member(
                        path=path,
                        is_directory=False,
                        is_executable=bool(info.mode & stat.S_IXUSR),
                        blocks=_counted(data, tally, info.size),
                    )
        while stream.read(BLOCK):  # up to gzip's checksum, which covers everything before it
            pass


def _refuse_special_tar(info: tarfile.TarInfo) -> None:
    name = quoted(info.name)
    if info.issym() or info.islnk():
        raise ArchiveRefused(f"The archive contains a link: {name}; include the file itself.")
    if info.issparse():
        raise _sparse(info)
    if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}:
        raise ArchiveRefused(f"The archive contains an entry that is not a regular file: {name}.")


def _sparse(info: tarfile.TarInfo) -> ArchiveRefused:
    name = quoted(info.name)
    return ArchiveRefused(f"The archive has a sparse file: {name}; create it without --sparse.")


def _directory(path: str) -> Member:
    return Member(path=path, is_directory=True, is_executable=False, blocks=iter(()))
