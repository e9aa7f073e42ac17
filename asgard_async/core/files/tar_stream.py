"""A tar of a tree that another user made, written piece by piece."""

import tarfile
from collections.abc import Callable, Generator, Iterator, Sequence

from asgard_async.core.files.foreign_tree import Entry, Kind, OpenFile, pieces_of

PIECE = 256 << 10
"""Bytes of a piece: small files share one."""


def tar_of(
    entries: Sequence[Entry], open_entry: Callable[[str], OpenFile]
) -> Generator[bytes, None, None]:
    """Yield a tar of files and folders, in pieces. Files that are gone by now are left out.

    Raises:
        EOFError: a file became shorter while it was read.
    """
    piece = bytearray()
    for data in _blocks(entries, open_entry):
        piece += data
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    piece += bytes(2 * tarfile.BLOCKSIZE)
    piece += bytes(-len(piece) % tarfile.BLOCKSIZE)
    yield bytes(piece)


def _blocks(entries: Sequence[Entry], open_entry: Callable[[str], OpenFile]) -> Iterator[bytes]:
    for entry in entries:
        member = tarfile.TarInfo(entry.path)
        member.mtime = entry.modified_at
        if entry.kind is Kind.DIRECTORY:
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            yield _header(member)
        elif entry.kind is Kind.FILE:
            try:
                file = open_entry(entry.path)
            except OSError:
                continue
            try:
                member.size = file.status.st_size
                member.mode = 0o755 if entry.is_executable else 0o644
                yield _header(member)
                yield from pieces_of(file, member.size, PIECE)
                yield bytes(-member.size % tarfile.BLOCKSIZE)
            finally:
                file.close()


def _header(member: tarfile.TarInfo) -> bytes:
    # names that are no UTF-8 are marked as binary
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
