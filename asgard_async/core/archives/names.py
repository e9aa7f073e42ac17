"""Limits of archives: the number, size and names of their members."""

import re
from dataclasses import dataclass

MAX_PATH_BYTES = 1024
MAX_COMPONENT_BYTES = 255
"""The limit of file systems on Linux."""
MAX_DEPTH = 64
"""Removing a tree keeps a descriptor open for each level."""
MAX_RATIO = 200
"""Maximum ratio of unpacked size to archive size. Sources and data compress to 1/100 at best, a
bomb of zeros to 1/1000."""
FREE_BYTES = 64 << 20
"""Unpacked size that is allowed at any ratio: a small file of zeros does no harm."""


class ArchiveRefused(Exception):
    """The archive is rejected; the message says why. `field` is the upload field at fault."""

    def __init__(self, message: str, field: str = "archive") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """Limits on what an archive unpacks to."""

    max_members: int
    """Files and directories, including those that only occur as part of a path."""
    max_unpacked_bytes: int

    def refusal_of(self, unpacked: int, archive_bytes: int, *, spare: int = 0) -> str | None:
        """Return why an archive of this size may not unpack to `unpacked` bytes; None if it may.

        `spare` bytes are allowed on top of the limits.
        """
        if unpacked > self.max_unpacked_bytes + spare:
            return (
                f"The archive unpacks to more than the {self.max_unpacked_bytes} bytes that are"
                " allowed."
            )
        if unpacked > max(FREE_BYTES, MAX_RATIO * archive_bytes) + spare:
            return (
                f"The archive unpacks to more than {MAX_RATIO} times its own size. Only long"
                " runs of equal bytes compress that well; let the script generate them."
            )
        return None


class MemberTally:
    """Counts the members and unpacked bytes of an archive, and rejects it at the limits."""

    def __init__(self, limits: ArchiveLimits, archive_bytes: int) -> None:
        """`archive_bytes` is the size of the archive itself."""
        self._limits = limits
        self._archive_bytes = archive_bytes
        self._files: set[str] = set()
        self._directories: set[str] = set()
        self._bytes = 0

    def admit(self, name: str, *, is_directory: bool) -> str:
        """Check a member's name and return its path below the target, empty for the target itself.

        Raises:
            ArchiveRefused: the path leads out of the target, is not a valid file name, occurs
                twice, or exceeds the number of members.
        """
        path = safe_path(name)
        if path in self._files or (not is_directory and (path in self._directories or not path)):
            raise ArchiveRefused(f"Two members of the archive have the same path: {quoted(name)}.")
        parent = path if is_directory else path.rpartition("/")[0]
        # stop at the first known directory: its parents are known too
        while parent and parent not in self._directories:
            if parent in self._files:
                raise ArchiveRefused(f"A member of the archive is below a file: {quoted(name)}.")
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
                " that are allowed."
            )

    def count(self, size: int) -> None:
        """Count unpacked bytes.

        Raises:
            ArchiveRefused: the total exceeds a limit.
        """
        self._bytes += size
        if refusal := self._limits.refusal_of(self._bytes, self._archive_bytes):
            raise ArchiveRefused(refusal)


def safe_path(name: str) -> str:
    """Return a member's path without `.` and empty parts.

    Raises:
        ArchiveRefused: the path leads out of the target, or is not a valid file name.
    """
    if name.startswith("/"):
        raise ArchiveRefused(f"A member of the archive has an absolute path: {quoted(name)}.")
    if "\\" in name:
        raise ArchiveRefused(
            f"A member of the archive has a backslash in its path: {quoted(name)}."
        )
    if re.search(r"[\x00-\x1f\x7f]", name):
        raise ArchiveRefused(
            f"A member of the archive has a control character in its path: {quoted(name)}."
        )
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ArchiveRefused(f"A member of the archive has '..' in its path: {quoted(name)}.")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ArchiveRefused(
            f"A member of the archive has a name that is not UTF-8: {quoted(name)}."
        ) from None
    if (
        max(sizes, default=0) > MAX_COMPONENT_BYTES
        or sum(sizes) + len(sizes) > MAX_PATH_BYTES
        or len(parts) > MAX_DEPTH
    ):
        raise ArchiveRefused(
            f"The path of a member of the archive is too long: {quoted(name)}. Allowed are"
            f" {MAX_COMPONENT_BYTES} bytes per name, {MAX_PATH_BYTES} bytes and {MAX_DEPTH} levels"
            " in total."
        )
    return "/".join(parts)


def quoted(name: str) -> str:
    """Format a name for a message: short, on one line, in ASCII where it cannot be encoded."""
    return repr(name[:80]).encode("utf-8", "backslashreplace").decode()
