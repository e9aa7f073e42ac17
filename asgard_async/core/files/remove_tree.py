"""Removal of files and trees created by jobs and builds.

Nothing that stands in a tree can lead the removal out of it or stop it: links are not followed,
even if they replace a directory meanwhile, and the nesting may be deeper than any path.
"""

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from asgard_async.core.files.descent import Descent, open_below

logger = logging.getLogger(__name__)

BATCH = 10_000
"""Subdirectories that are listed at once, which bounds the memory for the names."""
NOT_A_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)
MAY_BE_A_DIRECTORY = (errno.EISDIR, errno.EPERM, errno.EACCES)
"""Errors of unlink(2) for a directory: Linux's, POSIX's, and that of one in a closed directory."""


def remove_tree(path: Path, *, within: Path | None = None) -> None:
    """Remove a file or tree that a job may have created.

    Links are never followed, except above `path`; with `within`, only above that directory.
    Whatever cannot be removed is logged and stays.
    """
    root = path.parent if within is None else within
    try:
        parent = open_below(str(root), *path.parent.relative_to(root).parts)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("could not remove %s: %s", path, error)
        return
    try:
        problem = remove_entry(parent, path.name)
    finally:
        os.close(parent)
    if problem is not None:
        logger.warning("could not remove all of %s: %s", path, problem)


def entries_within(root: Path, *names: str) -> list[str]:
    """Return the names in the directory that `names` lead to below `root`, which may be missing.

    Links are followed only in `root`.
    """
    try:
        descriptor = open_below(str(root), *names)
    except OSError as error:
        if error.errno in {errno.ENOENT, *NOT_A_DIRECTORY}:
            return []  # a job can replace its directory with a link
        raise
    try:
        return os.listdir(descriptor)  # noqa: PTH208
    finally:
        os.close(descriptor)


def remove_entry(parent: int, name: str) -> OSError | None:
    """Remove a file or tree in an open directory; return the first problem, if any."""
    removal = _Removal()
    if removal.unlink(parent, name):
        return removal.problem
    # from the directory above, so that the tree itself is an entry like all others
    walk = Descent(os.dup(parent))
    try:
        removal.run(walk, name)
    except OSError as error:  # the tree is being moved about
        removal.note(error)
    finally:
        walk.close()
    return removal.problem


@dataclass(slots=True)
class _Listing:
    """The subdirectories of a directory that are still to be removed."""

    names: list[str] = field(default_factory=list)
    is_complete: bool = True
    """False if there may be more than the listed ones."""


@dataclass(slots=True)
class _Removal:
    problem: OSError | None = None

    def run(self, walk: Descent, top: str) -> None:
        listings = [_Listing([top])]
        while True:
            listing = listings[-1]
            if listing.names:
                if self._enter(walk, listing.names.pop()):
                    listings.append(self._list(walk.descriptor))
                continue
            if walk.depth == 0:
                return
            if not listing.is_complete and self.problem is None:
                listings[-1] = self._list(walk.descriptor)
                continue
            listings.pop()
            name = walk.leave()
            self._rmdir(walk.descriptor, name)

    def unlink(self, parent: int, name: str) -> bool:
        """Remove an entry unless it is a directory; return whether it was not one."""
        try:
            _remove(os.unlink, parent, name)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in MAY_BE_A_DIRECTORY and _is_directory(parent, name):
                return False
            self.note(error)
        return True

    def note(self, error: OSError) -> None:
        """Keep the first problem."""
        self.problem = self.problem or error

    def _enter(self, walk: Descent, name: str) -> bool:
        for _ in range(2):
            try:
                walk.enter(name)
            except FileNotFoundError:
                return False
            except PermissionError as error:
                if _make_accessible(walk.descriptor, name):
                    continue
                # an empty directory can be removed without access to it
                if not self._rmdir(walk.descriptor, name):
                    self.note(error)
                return False
            except OSError as error:
                if error.errno in NOT_A_DIRECTORY:  # replaced meanwhile
                    self.unlink(walk.descriptor, name)
                else:
                    self.note(error)
                return False
            return True
        return False

    def _list(self, directory: int) -> _Listing:
        """Remove all entries but directories, and return these."""
        listing = _Listing()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if len(listing.names) == BATCH:
                        listing.is_complete = False
                        break
                    if entry.is_dir(follow_symlinks=False) or not self.unlink(
                        directory, entry.name
                    ):
                        listing.names.append(entry.name)
        except OSError as error:
            self.note(error)
        return listing

    def _rmdir(self, parent: int, name: str) -> bool:
        try:
            _remove(os.rmdir, parent, name)
        except FileNotFoundError:
            pass
        except OSError as error:
            self.note(error)
            return False
        return True


def _remove(system_call: Callable[..., None], parent: int, name: str) -> None:
    """Call unlink or rmdir; if the directory is not writable, make it so and call again."""
    try:
        system_call(name, dir_fd=parent)
    except PermissionError as error:
        if error.errno != errno.EACCES or not _make_writable(parent):
            raise
        system_call(name, dir_fd=parent)


def _is_directory(parent: int, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    return False


def _make_writable(directory: int) -> bool:
    """Give the owner of an open directory all permissions; return whether that changed any."""
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode & 0o700 == 0o700:
        return False
    try:
        os.fchmod(directory, mode | 0o700)
    except OSError:
        return False
    return True


def _make_accessible(parent: int, name: str) -> bool:
    """Do the same for a directory that cannot be opened; a job can take its own permissions away.

    The directory is held by a descriptor that needs no permission, and changed through /proc, since
    fchmod(2) does not accept such a descriptor. Root needs no permission and never gets here.
    """
    # the directory above may be searchable only after a change, too
    _make_writable(parent)
    try:
        held = os.open(
            name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent
        )
    except OSError:
        return False
    try:
        mode = stat.S_IMODE(os.fstat(held).st_mode)
        if mode & 0o700 == 0o700:
            return False
        try:
            Path(f"/proc/self/fd/{held}").chmod(mode | 0o700)
        except OSError:  # a process that has changed its user cannot access its /proc/self/fd
            os.chmod(name, mode | 0o700, dir_fd=parent)
    except OSError:
        return False
    finally:
        os.close(held)
    return True
