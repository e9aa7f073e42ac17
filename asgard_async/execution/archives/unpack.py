"""What is done with an archive: looked through once, then unpacked for every attempt."""

import os
from pathlib import Path

from .members import members
from .names import ArchiveLimits, ArchiveRefused


def read_entrypoint(
    archive: Path, entrypoint: str, *, limits: ArchiveLimits, max_bytes: int
) -> bytes:
    """Read the whole archive, keeping nothing but the source of its entrypoint.

    Raises:
        ArchiveRefused: a member is not taken, or the entrypoint is not there or too large.
    """
    source: bytearray | None = None
    for member in members(archive, limits):
        is_entrypoint = member.path == entrypoint and not member.is_directory
        if is_entrypoint:
            source = bytearray()
        for block in member.blocks:  # all are read: only then is their size known
            if is_entrypoint and source is not None and len(source) <= max_bytes:
                source += block
    if source is None:
        raise ArchiveRefused("The archive has no such file.", "entrypoint")
    if not source:
        raise ArchiveRefused("The script is empty.", "entrypoint")
    if len(source) > max_bytes:
        raise ArchiveRefused(f"The script is larger than {max_bytes} bytes.", "entrypoint")
    return bytes(source)


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
