"""A walk through directories that a job may have filled, and may still be changing.

Whatever the job has made, the walk needs few descriptors and little memory, follows no link, and
opens nothing but directories. It goes down one name at a time and returns by `..`.
"""

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any

KEPT_ABOVE = KEPT_BELOW = 16
"""Directories that stay open: the uppermost and the deepest ones. The walk closes those in between
and finds them again on its way back."""
MAX_MEMORY = 32 << 20
"""Bytes for the names of directories that are yet to be visited. 130,000 levels fit."""
BYTES_PER_LEVEL = 250
BYTES_PER_NAME = 80
BATCH = 4096
"""Subdirectories that are listed at once."""
MAX_BATCHED = 8
"""Directories above the current one whose listing has been interrupted after a batch."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ACCESS = stat.S_IRUSR | stat.S_IXUSR


class _Level:
    """A directory on the way from the top to the current one."""

    __slots__ = ("closed_mode", "descriptor", "entries", "identity", "names")

    def __init__(self, descriptor: int, closed_mode: int) -> None:
        self.descriptor = descriptor
        """-1 while closed."""
        self.closed_mode = closed_mode
        """The mode to restore if the owner had no access, or -1."""
        status = os.fstat(descriptor)
        self.identity = status.st_dev, status.st_ino
        self.names: list[str] = []
        """The listed subdirectories that are yet to be visited."""
        self.entries: Any = os.scandir(descriptor)
        """None once all subdirectories are listed."""

    def close(self) -> None:
        if self.entries is not None:
            self.entries.close()
        if self.descriptor >= 0:
            if self.closed_mode >= 0:
                _change_mode(self.descriptor, self.closed_mode)
            os.close(self.descriptor)
            self.descriptor = -1


class Walk:
    """Iterates over the status of all files below `directories`, without these themselves.

    Directories that their owner has closed are opened for the duration of their visit.
    """

    def __init__(self, directories: "list[str]") -> None:
        self._directories = directories
        self._levels: list[_Level] = []
        self._memory = 0
        self.is_complete = True
        """False once something could not be visited."""
        self.is_too_large = False
        """True once there were so many directories, or so deep ones, that some were left out."""

    def __iter__(self) -> Iterator[os.stat_result]:
        for directory in self._directories:
            try:
                self._enter(directory, None)
                while self._levels:
                    level = self._levels[-1]
                    if not level.names and level.entries is not None:
                        yield from self._list(level)
                    if level.names:
                        name = level.names.pop()
                        self._memory -= BYTES_PER_NAME + len(name)
                        self._enter(name, level.descriptor)
                    elif level.entries is None:
                        self._leave()
            finally:
                while self._levels:
                    self._drop()

    def _list(self, level: _Level) -> Iterator[os.stat_result]:
        """Yield the status of a directory's entries; remember the subdirectories among them."""
        entries = level.entries
        assert entries is not None  # noqa: S101
        try:
            for entry in entries:
                try:
                    # not entry.stat: it uses the number of a descriptor that may have been closed
                    status = os.stat(entry.name, dir_fd=level.descriptor, follow_symlinks=False)
                except OSError:  # gone by now
                    continue
                if stat.S_ISDIR(status.st_mode):
                    if self._memory > MAX_MEMORY:
                        self.is_complete, self.is_too_large = False, True
                    else:
                        self._memory += BYTES_PER_NAME + len(entry.name)
                        level.names.append(entry.name)
                yield status
                if len(level.names) >= BATCH and self._may_interrupt(level):
                    return
        except OSError:
            self.is_complete = False
        entries.close()
        level.entries = None

    def _may_interrupt(self, level: _Level) -> bool:
        others = sum(one.entries is not None for one in self._levels if one is not level)
        return others < MAX_BATCHED

    def _enter(self, name: str, parent: "int | None") -> None:
        try:
            descriptor, closed_mode = _open(name, parent)
        except OSError as error:
            # gone by now, or replaced
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                self.is_complete = False
            return
        try:
            level = _Level(descriptor, closed_mode)
        except OSError:
            os.close(descriptor)
            self.is_complete = False
            return
        self._levels.append(level)
        self._memory += BYTES_PER_LEVEL
        if len(self._levels) > KEPT_ABOVE + KEPT_BELOW:
            above = self._levels[-1 - KEPT_BELOW]
            if above.descriptor >= 0:
                os.close(above.descriptor)
                above.descriptor = -1

    def _leave(self) -> None:
        """Return to the directory above, or to a higher one if the tree has been moved."""
        if len(self._levels) > 1 and self._levels[-2].descriptor < 0:
            self._find_again(self._levels[-2], self._levels[-1].descriptor)
        self._drop()
        while self._levels and self._levels[-1].descriptor < 0:
            self.is_complete = False
            self._drop()

    def _find_again(self, above: _Level, below: int) -> None:
        try:
            descriptor = os.open("..", _DIRECTORY, dir_fd=below)
        except OSError:
            return
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) == above.identity:
            above.descriptor = descriptor
        else:
            os.close(descriptor)

    def _drop(self) -> None:
        level = self._levels.pop()
        level.close()
        self._memory -= BYTES_PER_LEVEL
        self._memory -= sum(BYTES_PER_NAME + len(name) for name in level.names)


def _open(name: str, parent: "int | None") -> "tuple[int, int]":
    """Open a directory; return its descriptor, and the mode to restore or -1."""
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        return _open_closed(name, parent)
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    # readable, but its entries cannot be reached
    if mode & _ACCESS != _ACCESS and os.geteuid() == status.st_uid != 0:
        _change_mode(descriptor, mode | _ACCESS)
        return descriptor, mode
    return descriptor, -1


def _open_closed(name: str, parent: "int | None") -> "tuple[int, int]":
    """Open a directory that its owner has closed."""
    # held by a descriptor that needs no permission: the name may become a link to elsewhere
    held = os.open(name, os.O_PATH | _DIRECTORY, dir_fd=parent)
    try:
        mode = stat.S_IMODE(os.fstat(held).st_mode)
        path = f"/proc/self/fd/{held}"
        os.chmod(path, mode | _ACCESS)
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), mode
        except OSError:
            os.chmod(path, mode)
            raise
    finally:
        os.close(held)


def _change_mode(descriptor: int, mode: int) -> None:
    try:
        os.fchmod(descriptor, mode)
    except OSError:
        pass
