"""A walk through a tree by descriptors, at any depth and with a bounded number of descriptors.

Paths are resolved again with every call, so whoever can write to a tree could redirect a walk by
replacing a directory with a link. Here each step opens one name below an open directory, and no
step follows a link.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from asgard_async.core.files.regular import DIRECTORY

MAX_DESCRIPTORS = 32
"""Open directories of one walk. A deeper walk closes the upper ones and finds them again."""


@dataclass(slots=True)
class _Level:
    name: str
    """The name in the directory above."""
    descriptor: int
    """-1 while closed."""
    identity: tuple[int, int]


class Descent:
    """A position in the tree below `top`, a descriptor that `close` closes as well."""

    def __init__(self, top: int) -> None:
        self._levels = [_Level("", top, _identity(top))]

    @property
    def descriptor(self) -> int:
        """The directory of the current position."""
        return self._levels[-1].descriptor

    @property
    def depth(self) -> int:
        """The number of levels below the top."""
        return len(self._levels) - 1

    def enter(self, name: str) -> None:
        """Go down to a directory.

        Raises:
            OSError: it is not a directory, or cannot be opened.
        """
        descriptor = os.open(name, DIRECTORY, dir_fd=self.descriptor)
        self._levels.append(_Level(name, descriptor, _identity(descriptor)))
        if len(self._levels) > MAX_DESCRIPTORS:
            above = self._levels[-MAX_DESCRIPTORS]
            if above.descriptor >= 0:  # otherwise a sibling was entered before
                os.close(above.descriptor)
                above.descriptor = -1

    def leave(self) -> str:
        """Go up to the directory above; return the name of the one that was left.

        Raises:
            OSError: the directory was moved elsewhere during the walk.
        """
        left, above = self._levels[-1], self._levels[-2]
        if above.descriptor < 0:
            descriptor = os.open("..", DIRECTORY, dir_fd=left.descriptor)
            if _identity(descriptor) != above.identity:
                os.close(descriptor)
                raise OSError(errno.ESTALE, "The directory was moved during the walk", left.name)
            above.descriptor = descriptor
        os.close(left.descriptor)
        self._levels.pop()
        return left.name

    def close(self) -> None:
        """Close all descriptors."""
        for level in self._levels:
            if level.descriptor >= 0:
                os.close(level.descriptor)
        self._levels.clear()


def open_below(
    root: int | str, *names: str, check: Callable[[os.stat_result], None] | None = None
) -> int:
    """Open the directory that `names` lead to below a root; links are followed only in `root`.

    `check` sees the status of each directory below the root, and may refuse it by an exception.

    Raises:
        OSError: one of them is not a directory, or cannot be opened.
    """
    if isinstance(root, int):
        descriptor = os.dup(root)
    else:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in names:
        above = descriptor
        try:
            descriptor = os.open(name, DIRECTORY, dir_fd=above)
        finally:
            os.close(above)
        if check is not None:
            try:
                check(os.fstat(descriptor))
            except BaseException:
                os.close(descriptor)
                raise
    return descriptor


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
