"""Publication of an environment that untrusted code may have written to.

The service follows `venv`, `venv/bin/python` and the links to it, lists and compiles the other
files, and exposes the environment to jobs. So the environment must not contain links to other
places or files of other users. This module uses only the standard library.
"""

import os
import stat
from collections.abc import Iterator

MAX_PATH_BYTES = 4000
"""Linux resolves paths of up to 4096 bytes. A build can make deeper directories."""


class UnsafeEnvironment(Exception):
    """An environment must not be published; the message explains why to the job's owner."""


class Venv:
    """A virtual environment in `directory`, newly created by uv, whose links must not change."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._links = {
            path: os.readlink(path) for path, facts in _entries_of(directory) if _is_link(facts)
        }
        self._settings = self._read_settings()

    def give(self, staging: str, uid: int) -> None:
        """Make a user the owner of all files below `staging`."""
        for path, _ in _entries_of(staging):
            os.lchown(path, uid, uid)

    def take(self, target: str, uid: int) -> None:
        """Check the environment, make this process's user its owner, and move it to `target`.

        `uid` is the user that owned the environment during the build; -1 for this process's user.
        All processes of that user must have exited.

        Raises:
            UnsafeEnvironment: the environment contains changed links or unexpected files.
        """
        # check all files before changing any
        self._check(uid)
        for path, facts in _entries_of(self._directory):
            # before root owns it: without set-user-ID bits
            if not _is_link(facts) and stat.S_IMODE(facts.st_mode) != (mode := _public(facts)):
                os.chmod(path, mode)
            if uid >= 0:
                os.lchown(path, os.geteuid(), os.getegid())
        os.rename(self._directory, target)

    def _check(self, uid: int) -> None:
        links = {}
        for path, facts in _entries_of(self._directory):
            if uid >= 0 and facts.st_uid != uid:
                raise UnsafeEnvironment(f"{self._name(path)} belongs to another user.")
            if _is_link(facts):
                links[path] = os.readlink(path)
            elif stat.S_ISDIR(facts.st_mode):
                if facts.st_mode & 0o700 != 0o700:
                    raise UnsafeEnvironment(f"{self._name(path)} is not accessible to its owner.")
            elif not stat.S_ISREG(facts.st_mode):
                raise UnsafeEnvironment(f"{self._name(path)} is neither a file nor a directory.")
        if links != self._links:
            changed = min(links.items() ^ self._links.items())[0]
            raise UnsafeEnvironment(
                f"{self._name(changed)} was replaced by a link, or leads elsewhere now."
            )
        if self._read_settings() != self._settings:
            raise UnsafeEnvironment("'pyvenv.cfg' in the environment was changed.")

    def _name(self, path: str) -> str:
        return f"{os.path.relpath(path, self._directory)!a} in the environment"

    def _read_settings(self) -> bytes:
        path = f"{self._directory}/pyvenv.cfg"
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                return file.read(1 << 16)
        except OSError as error:
            raise UnsafeEnvironment("'pyvenv.cfg' in the environment was changed.") from error


def _public(facts: os.stat_result) -> int:
    """Return a mode in which all jobs can read a file, and execute it if its owner can.

    The umask of whoever filled uv's cache must not matter.
    """
    mode = stat.S_IMODE(facts.st_mode) & 0o755 | 0o444
    return mode | 0o111 if mode & 0o100 else mode


def _is_link(facts: os.stat_result) -> bool:
    return stat.S_ISLNK(facts.st_mode)


def _entries_of(directory: str) -> "Iterator[tuple[str, os.stat_result]]":
    """Yield `directory` and all files below it, without following links.

    Raises:
        UnsafeEnvironment: a path is too long to be used.
    """
    facts = os.lstat(directory)
    yield directory, facts
    if not stat.S_ISDIR(facts.st_mode):
        return
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if len(os.fsencode(entry.path)) > MAX_PATH_BYTES:
                    raise UnsafeEnvironment("A path in the environment is too long.")
                facts = entry.stat(follow_symlinks=False)
                yield entry.path, facts
                if stat.S_ISDIR(facts.st_mode):
                    pending.append(entry.path)
