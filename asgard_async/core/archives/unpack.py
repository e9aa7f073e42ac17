"""What is done with an archive: looked through once, then unpacked for every attempt."""

import os
from pathlib import Path
from typing import NamedTuple

from .imports import LARGEST_MODULE, imports_in
from .members import Member, members
from .names import ArchiveLimits, ArchiveRefused, shown


class Program(NamedTuple):
    """What is known of the program in an archive."""

    source: bytes
    """Of its entrypoint."""
    imports: frozenset[str] | None
    """What its modules import at most; None when one is too large to look."""


def read_program(
    archive: Path, entrypoint: str, *, limits: ArchiveLimits, max_bytes: int
) -> Program:
    """Read the whole archive, one member at a time.

    Raises:
        ArchiveRefused: a member is not taken, or the entrypoint is not there or too large.
    """
    source: bytes | None = None
    elsewhere: str | None = None
    imports: set[str] = set()
    all_known = True
    for member in members(archive, limits):
        is_entrypoint = member.path == entrypoint and not member.is_directory
        is_module = member.path.endswith(".py")
        most = max_bytes * is_entrypoint or LARGEST_MODULE * is_module
        content = bytearray()
        for block in member.blocks:  # all are read: only then is their size known
            if len(content) <= most and (is_entrypoint or is_module):
                content += block
        if is_entrypoint:
            source = bytes(content)
        elsewhere = elsewhere or _below_a_folder(member, entrypoint)
        if len(content) > LARGEST_MODULE:
            all_known = False
        elif is_module or is_entrypoint:
            imports |= imports_in(content)
    return Program(
        _accepted(source, elsewhere, max_bytes), frozenset(imports) if all_known else None
    )


def _accepted(source: bytes | None, elsewhere: str | None, max_bytes: int) -> bytes:
    if source is None:
        raise ArchiveRefused(f"The archive has no such file{_hint(elsewhere)}.", "entrypoint")
    if not source:
        raise ArchiveRefused("The script is empty.", "entrypoint")
    if len(source) > max_bytes:
        raise ArchiveRefused(f"The script is larger than {max_bytes} bytes.", "entrypoint")
    return source


def _below_a_folder(member: Member, entrypoint: str) -> str | None:
    is_it = not member.is_directory and member.path.endswith(f"/{entrypoint}")
    return member.path if is_it else None


def _hint(elsewhere: str | None) -> str:
    if elsewhere is None:
        return ""
    return f" there, but {shown(elsewhere)}: give that, or pack the files without the folder"


def unpack(archive: Path, directory: Path, limits: ArchiveLimits) -> None:
    """Unpack an archive into an existing directory that nobody else writes to.

    Of a file's mode its owner's executable bit is kept, nothing else. tarfile's `data_filter` has
    no part in it: no `extract` of a library is called, so only plain files and directories come
    to be, whatever the archive says.

    Raises:
        ArchiveRefused: a member is not taken.
        OSError: it cannot be written.
    """
    for member in members(archive, limits):
        if member.is_directory:
            _make_directories(directory, member.path)
            continue
        _make_directories(directory, member.path.rpartition("/")[0])
        # O_EXCL follows no link and opens nothing that is there
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        mode = 0o700 if member.is_executable else 0o600
        with os.fdopen(os.open(directory / member.path, flags, mode), "wb") as file:
            for block in member.blocks:
                file.write(block)


def _make_directories(root: Path, path: str) -> None:
    """Each by itself: `makedirs` gives its mode to the last one alone."""
    directory = root
    for part in filter(None, path.split("/")):
        directory /= part
        directory.mkdir(mode=0o700, exist_ok=True)
