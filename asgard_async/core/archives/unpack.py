"""Reading the program in an archive, and unpacking the archive for an attempt."""

import os
from pathlib import Path
from typing import NamedTuple

from .imports import LARGEST_MODULE, imports_in
from .members import Member, members
from .names import ArchiveLimits, ArchiveRefused, quoted


class ArchivedProgram(NamedTuple):
    """The program in an archive."""

    source: bytes
    """Source code of the entrypoint."""
    imports: frozenset[str] | None
    """Packages that the modules may import; None if a module is too large to examine."""


def read_program(
    archive: Path, entrypoint: str, *, limits: ArchiveLimits, max_bytes: int
) -> ArchivedProgram:
    """Read the whole archive, one member at a time.

    Raises:
        ArchiveRefused: a member is not acceptable, or the entrypoint is missing or too large.
    """
    source: bytes | None = None
    misplaced: str | None = None
    imports: set[str] = set()
    has_all_imports = True
    for member in members(archive, limits):
        is_entrypoint = member.path == entrypoint and not member.is_directory
        is_module = member.path.endswith(".py")
        max_content = max_bytes * is_entrypoint or LARGEST_MODULE * is_module
        content = bytearray()
        for block in member.blocks:  # read all blocks: the size in the header is not trusted
            if len(content) <= max_content and (is_entrypoint or is_module):
                content += block
        if is_entrypoint:
            source = bytes(content)
        misplaced = misplaced or _in_a_folder(member, entrypoint)
        if len(content) > LARGEST_MODULE:
            has_all_imports = False
        elif is_module or is_entrypoint:
            imports |= imports_in(content)
    return ArchivedProgram(
        _accepted(source, misplaced, max_bytes), frozenset(imports) if has_all_imports else None
    )


def _accepted(source: bytes | None, misplaced: str | None, max_bytes: int) -> bytes:
    if source is None:
        raise ArchiveRefused(f"The archive has no such file{_hint(misplaced)}.", "entrypoint")
    if not source:
        raise ArchiveRefused("The script is empty.", "entrypoint")
    if len(source) > max_bytes:
        raise ArchiveRefused(f"The script is larger than {max_bytes} bytes.", "entrypoint")
    return source


def _in_a_folder(member: Member, entrypoint: str) -> str | None:
    is_match = not member.is_directory and member.path.endswith(f"/{entrypoint}")
    return member.path if is_match else None


def _hint(misplaced: str | None) -> str:
    if misplaced is None:
        return ""
    return f", but {quoted(misplaced)}: use that path, or create the archive without the folder"


def unpack(archive: Path, directory: Path, limits: ArchiveLimits) -> None:
    """Unpack an archive into an existing directory that nothing else writes to.

    Only the owner's executable bit of a file's mode is kept. This does not use tarfile's `extract`,
    so no `data_filter` is needed: it creates only regular files and directories.

    Raises:
        ArchiveRefused: a member is not acceptable.
        OSError: a file cannot be written.
    """
    for member in members(archive, limits):
        if member.is_directory:
            _make_directories(directory, member.path)
            continue
        _make_directories(directory, member.path.rpartition("/")[0])
        # O_EXCL follows no link and opens no existing file
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        mode = 0o700 if member.is_executable else 0o600
        with os.fdopen(os.open(directory / member.path, flags, mode), "wb") as file:
            for block in member.blocks:
                file.write(block)


def _make_directories(root: Path, path: str) -> None:
    """Create each level separately, because `makedirs` applies its mode to the last one only."""
    directory = root
    for part in filter(None, path.split("/")):
        directory /= part
        directory.mkdir(mode=0o700, exist_ok=True)
