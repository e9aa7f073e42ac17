"""What an archive may hold: how many members, how large, under which names."""

import re
from dataclasses import dataclass

MAX_PATH_BYTES = 1024
MAX_COMPONENT_BYTES = 255
"""What Linux's file systems take."""
MAX_DEPTH = 64
"""Removing a tree holds a descriptor per level."""
MAX_RATIO = 200
"""So many times its own size an archive may unpack to: sources and data shrink to a hundredth at
best, a bomb of zeros to a thousandth."""
FREE_BYTES = 64 << 20
"""So much may come out of any archive: a small file of zeros harms nobody."""


class ArchiveRefused(Exception):
    """The archive is not taken; the text says why. `field` is the field of the upload at fault."""

    def __init__(self, message: str, field: str = "archive") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """Bounds of what comes out of an archive."""

    max_members: int
    """Files and directories, those included that are only named as part of a path."""
    max_unpacked_bytes: int

    def refusal_of(self, unpacked: int, archive_bytes: int, *, spare: int = 0) -> str | None:
        """Why an archive of that size may not unpack to so much, with `spare` beyond the bounds;
        None when it may."""
        if unpacked > self.max_unpacked_bytes + spare:
            return (
                f"Unpacked, the archive has more than the {self.max_unpacked_bytes} bytes that are"
                " accepted here."
            )
        if unpacked > max(FREE_BYTES, MAX_RATIO * archive_bytes) + spare:
            return (
                f"Unpacked, the archive has more than {MAX_RATIO} times its own size, which nothing"
                " but long runs of the same bytes makes; let the script make those."
            )
        return None


class Tally:
    """Keeps what has come out of an archive within its limits."""

    def __init__(self, limits: ArchiveLimits, archive_bytes: int) -> None:
        """`archive_bytes` is the size of the archive itself."""
        self._limits = limits
        self._archive_bytes = archive_bytes
        self._files: set[str] = set()
        self._directories: set[str] = set()
        self._bytes = 0

    def admit(self, name: str, *, is_directory: bool) -> str:
        """Check a member's name; its path below the target, empty for the target itself.

        Raises:
            ArchiveRefused: it leads elsewhere, cannot be a file's name, was there before, or is
                one too many.
        """
        path = safe_path(name)
        if path in self._files or (not is_directory and (path in self._directories or not path)):
            raise ArchiveRefused(f"Two members of the archive have the same path: {shown(name)}.")
        parent = path if is_directory else path.rpartition("/")[0]
        # upwards until one is known: then all above it are
        while parent and parent not in self._directories:
            if parent in self._files:
                raise ArchiveRefused(f"A member of the archive lies below a file: {shown(name)}.")
            self._directories.add(parent)
            parent = parent.rpartition("/")[0]
        if not is_directory:
            self._files.add(path)
        self.check_count(len(self._files) + len(self._directories))
        return path

    def check_count(self, members: int) -> None:
        if members > self._limits.max_members:
            raise ArchiveRefused(
                f"The archive has more than the {self._limits.max_members} files and directories"
                " that are accepted here."
            )

    def count(self, size: int) -> None:
        """Note bytes that came out.

        Raises:
            ArchiveRefused: that makes too many.
        """
        self._bytes += size
        if refusal := self._limits.refusal_of(self._bytes, self._archive_bytes):
            raise ArchiveRefused(refusal)


def safe_path(name: str) -> str:
    """A member's path without `.` and empty parts.

    Raises:
        ArchiveRefused: it leads out of the target, or cannot be a file's name here.
    """
    if name.startswith("/"):
        raise ArchiveRefused(f"A member of the archive has an absolute path: {shown(name)}.")
    if "\\" in name:
        raise ArchiveRefused(f"A member of the archive has a backslash in its path: {shown(name)}.")
    if re.search(r"[\x00-\x1f\x7f]", name):
        raise ArchiveRefused(
            f"A member of the archive has a control character in its path: {shown(name)}."
        )
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ArchiveRefused(f"A member of the archive has '..' in its path: {shown(name)}.")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ArchiveRefused(
            f"A member of the archive has a name that is not UTF-8: {shown(name)}."
        ) from None
    if (
        max(sizes, default=0) > MAX_COMPONENT_BYTES
        or sum(sizes) + len(sizes) > MAX_PATH_BYTES
        or len(parts) > MAX_DEPTH
    ):
        raise ArchiveRefused(
            f"A member of the archive has too long a path: {shown(name)}; at most"
            f" {MAX_COMPONENT_BYTES} bytes a name, {MAX_PATH_BYTES} bytes and {MAX_DEPTH} levels"
            " in all."
        )
    return "/".join(parts)


def shown(name: str) -> str:
    """A name fit for a message: short, on one line, plain ASCII where it is doubtful."""
    return repr(name[:80]).encode("utf-8", "backslashreplace").decode()
