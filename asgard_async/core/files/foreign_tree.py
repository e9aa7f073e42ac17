"""Listing and reading of a tree that another user made and may be changing.

Nothing is followed and nothing but directories and regular files is opened, so links, FIFOs and
devices are only listed. A walk is bounded in entries, depth, the length of its paths, and time.
"""

import errno
import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from asgard_async.core.files.descent import Descent, open_below
from asgard_async.core.files.regular import NotRegular, open_regular

MAX_ENTRIES = 20_000
MAX_DEPTH = 64
MAX_PATH_CHARACTERS = 4 << 20
"""Characters of all paths together; deep folders would otherwise multiply."""
MAX_SECONDS = 10.0


class Kind(StrEnum):
    """The kind of an entry. The values are part of the wire format."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    OTHER = "other"
    """A FIFO, a socket or a device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A file or a directory in a tree."""

    path: str
    """The path below the listed directory; bytes that are not UTF-8 are surrogates."""
    kind: Kind
    size: int
    modified_at: float
    """Seconds since 1970: any number, since the owner of a file can set it."""
    is_executable: bool


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits of a walk."""

    entries: int = MAX_ENTRIES
    depth: int = MAX_DEPTH
    path_characters: int = MAX_PATH_CHARACTERS
    seconds: float = MAX_SECONDS
    is_recursive: bool = True


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The entries below a directory: folders before their contents, in alphabetical order."""

    entries: Sequence[Entry]
    is_complete: bool = True
    """False if a bound was reached or a folder could not be read."""
    is_cut: bool = False
    """True if a bound was reached."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A user of several uids, with whose rights files are read.

    Root could read everything, also files of others that were linked or moved into the tree.
    """

    uids: Collection[int]

    @classmethod
    def oneself(cls) -> "Reader":
        """Return the user of this process."""
        return cls(uids={os.geteuid()})

    def may_read(self, status: os.stat_result) -> bool:
        """Return whether the mode of a file lets the user read it."""
        return bool(status.st_mode & (stat.S_IRUSR if self._owns(status) else stat.S_IROTH))

    def may_search(self, status: os.stat_result) -> bool:
        """Return whether the mode of a directory lets the user list and enter it."""
        needed = stat.S_IRUSR | stat.S_IXUSR if self._owns(status) else stat.S_IROTH | stat.S_IXOTH
        return status.st_mode & needed == needed

    def _owns(self, status: os.stat_result) -> bool:
        return status.st_uid in self.uids


def list_tree(top: int, reader: Reader, bounds: Bounds = DEFAULT_BOUNDS) -> Listing:
    """List everything below an open directory."""
    walk = _Walk(reader, bounds)
    descent = Descent(os.dup(top))
    try:
        walk.run(descent)
    except OSError:  # a directory was moved elsewhere during the walk
        walk.is_complete = False
    finally:
        descent.close()
    is_complete = walk.is_complete and not walk.is_cut
    return Listing(entries=walk.found, is_complete=is_complete, is_cut=walk.is_cut)


class _OutOfBounds(Exception):
    """A bound is reached."""


@dataclass
class _Walk:
    reader: Reader
    bounds: Bounds
    found: list[Entry] = field(default_factory=list)
    is_complete: bool = True
    is_cut: bool = False
    _characters: int = 0
    _listed: int = 0
    _deadline: float = 0.0

    def run(self, descent: Descent) -> None:
        self._deadline = time.monotonic() + self.bounds.seconds
        pending, prefixes = [self._names(descent.descriptor)], [""]
        try:
            while True:
                if pending[-1]:
                    name = pending[-1].pop()
                    if self._visit(descent, name, prefixes[-1]):
                        pending.append(self._names(descent.descriptor))
                        prefixes.append(f"{prefixes[-1]}{name}/")
                    continue
                pending.pop()
                prefixes.pop()
                if not pending:
                    return
                descent.leave()
        except _OutOfBounds:
            self.is_cut = True

    def _names(self, directory: int) -> list[str]:
        """Return the names in a directory, the last one first."""
        names: list[str] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                self._listed += 1
                if self._listed > self.bounds.entries or time.monotonic() > self._deadline:
                    self.is_cut = True
                    break
                names.append(entry.name)
        names.sort(reverse=True)
        return names

    def _visit(self, descent: Descent, name: str, prefix: str) -> bool:
        """Note an entry; return whether the walk has entered it."""
        try:
            status = os.stat(name, dir_fd=descent.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except PermissionError:  # the directory is listable, but not searchable
            self.is_complete = False
            return False
        self._note(f"{prefix}{name}", status)
        if not (stat.S_ISDIR(status.st_mode) and self.bounds.is_recursive):
            return False
        self.is_cut |= descent.depth == self.bounds.depth
        self.is_complete &= self.reader.may_search(status)
        if self.is_cut or not self.reader.may_search(status):
            return False
        try:
            descent.enter(name)
        except OSError:  # removed or replaced, or it cannot be opened
            self.is_complete = False
            return False
        return True

    def _note(self, path: str, status: os.stat_result) -> None:
        self._characters += len(path)
        if self._characters > self.bounds.path_characters or time.monotonic() > self._deadline:
            raise _OutOfBounds
        self.found.append(
            Entry(
                path=path,
                kind=_kind_of(status),
                size=status.st_size,
                modified_at=status.st_mtime,
                is_executable=bool(status.st_mode & stat.S_IXUSR),
            )
        )


class Unreadable(OSError):
    """There is something that is not read; `strerror` says what."""


@dataclass(frozen=True, kw_only=True)
class OpenFile:
    """A regular file that is open for reading."""

    descriptor: int
    status: os.stat_result

    def read(self, offset: int, limit: int) -> bytes:
        """Read at most `limit` bytes; fewer at the end of the file."""
        return os.pread(self.descriptor, limit, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def open_folder(top: int, names: Sequence[str], reader: Reader) -> int:
    """Open the directory that `names` lead to below an open one.

    Raises:
        NotADirectoryError: one of them is something else, such as a link.
        OSError: one of them does not exist or cannot be opened.
    """

    def refuse_closed(status: os.stat_result) -> None:
        if not reader.may_search(status):
            raise Unreadable(errno.EACCES, "is in a folder that the job has closed")

    return open_below(top, *names, check=refuse_closed)


def open_file(top: int, names: Sequence[str], reader: Reader) -> OpenFile:
    """Open the regular file that `names` lead to below an open directory.

    Raises:
        IsADirectoryError: it is a directory.
        Unreadable: it is something else, or the user may not read it.
        OSError: it does not exist or cannot be opened.
    """
    *above, name = names
    parent = open_folder(top, above, reader)
    try:
        _refuse_special(os.stat(name, dir_fd=parent, follow_symlinks=False))
        try:
            descriptor = open_regular(name, dir_fd=parent)
        except NotRegular as error:  # replaced in between
            raise Unreadable(error.errno, "is not a regular file") from error
    finally:
        os.close(parent)
    status = os.fstat(descriptor)
    if not reader.may_read(status):
        os.close(descriptor)
        raise Unreadable(errno.EACCES, "may not be read by the job itself")
    return OpenFile(descriptor=descriptor, status=status)


def _refuse_special(status: os.stat_result) -> None:
    match _kind_of(status):
        case Kind.DIRECTORY:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        case Kind.LINK:
            raise Unreadable(errno.ELOOP, "is a link, and links are not followed")
        case Kind.OTHER:
            # not even opened: opening a device may have effects
            raise Unreadable(errno.EINVAL, "is not a regular file")


def _kind_of(status: os.stat_result) -> Kind:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER


def pieces_of(file: OpenFile, size: int, piece: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file.

    Raises:
        EOFError: the file has become shorter.
    """
    offset = 0
    while offset < size:
        data = file.read(offset, min(piece, size - offset))
        if not data:
            raise EOFError
        offset += len(data)
        yield data
