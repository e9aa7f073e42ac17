"""Places for downloaded files, which are always below the chosen directory.

The names come from a job. On systems where that is possible, each step opens one name below an open
directory, so that a link never leads elsewhere, not even one that appears meanwhile.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

HAS_DIR_FD = os.open in os.supports_dir_fd
RESERVED_ON_WINDOWS = frozenset('<>:"|?*\\')


class UnsafeName(ValueError):
    """A name would lead out of the directory, or cannot be a file name here."""


def checked_names(names: Sequence[str]) -> Sequence[str]:
    """Return the names of a path.

    Raises:
        UnsafeName: they are not a path below a directory.
    """
    for name in names:
        is_bad = name in {"", ".", ".."} or "/" in name or "\0" in name or os.sep in name
        if is_bad or (os.name == "nt" and set(name) & RESERVED_ON_WINDOWS):
            raise UnsafeName(f"{'/'.join(names)!r} cannot be a path here.")
    if not names:
        raise UnsafeName("The path is empty.")
    return names


class Destination:
    """A directory that receives files. Its methods block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, names: Sequence[str]) -> Path:
        """Return the path of a file."""
        return self.directory.joinpath(*checked_names(names))

    def exists(self, names: Sequence[str]) -> bool:
        """Return whether something is in the place of a file, such as a link."""
        return os.path.lexists(self.path(names))

    def make_directory(self, names: Sequence[str]) -> None:
        """Create a directory and those above it.

        Raises:
            OSError: it cannot be created, or something else is in its place.
        """
        with self._opened(checked_names(names)):
            pass

    @contextlib.contextmanager
    def writing(self, names: Sequence[str], *, overwrite: bool) -> Iterator[IO[bytes]]:
        """Open a new file, which takes its place at the end unless an exception is raised.

        Raises:
            FileExistsError: without `overwrite`, something is in its place.
            OSError: the file cannot be written.
        """
        *above, name = checked_names(names)
        temporary = f".{secrets.token_hex(8)}.part"
        with self._opened(above) as (directory, dir_fd):
            part, final = (
                (temporary, name)
                if dir_fd is not None
                else (str(directory / temporary), str(directory / name))
            )
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            descriptor = os.open(part, flags, 0o666, dir_fd=dir_fd)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield file
                if not overwrite and _exists(final, dir_fd):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final)
                os.replace(part, final, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part, dir_fd=dir_fd)
                raise

    @contextlib.contextmanager
    def _opened(self, names: Sequence[str]) -> Iterator[tuple[Path, int | None]]:
        """Create and open a directory below this one: its path, and a descriptor if possible."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not HAS_DIR_FD:
            path = self.directory
            for name in names:
                path /= name
                path.mkdir(exist_ok=True)
                if path.is_symlink():
                    raise NotADirectoryError(errno.ENOTDIR, "Is a link", str(path))
            yield path, None
            return
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in names:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=descriptor)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                below = os.open(name, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield self.directory.joinpath(*names), descriptor
        finally:
            os.close(descriptor)


def _exists(name: str, dir_fd: int | None) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
