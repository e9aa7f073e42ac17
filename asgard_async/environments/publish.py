"""Takes over an environment that foreign code may have had a hand in. Standard library alone.

The service follows `venv`, `venv/bin/python` and what leads there, lists and compiles the rest, and
shows it to jobs. So nothing in it may lead elsewhere, or belong to anybody else.
"""

import os
import stat
from collections.abc import Iterator


class Refused(Exception):
    """An environment is not as it must be; the text says how, for the owner of the job."""


class Venv:
    """A virtual environment in `directory`, just made by uv: this is how it has to stay."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._links = {
            path: os.readlink(path) for path, facts in _all_in(directory) if _is_link(facts)
        }
        self._settings = self._read_settings()

    def give(self, staging: str, uid: int) -> None:
        """Make all below `staging` a user's own."""
        for path, _ in _all_in(staging):
            os.lchown(path, uid, uid)

    def take(self, target: str, uid: int) -> None:
        """Check the environment, make it this process' own, and move it to `target`.

        `uid` is who had it meanwhile; -1 for this process itself. None of that user's processes
        is left.

        Raises:
            Refused: it leads elsewhere, or holds what an environment does not.
        """
        # first all is looked at: nothing that is not the environment's own is touched
        self._check(uid)
        if uid >= 0:
            for path, facts in _all_in(self._directory):
                if not _is_link(facts):
                    # readable for all jobs, and without set-user-ID bits, before it is root's
                    mode = stat.S_IMODE(facts.st_mode) & 0o755 | 0o444
                    os.chmod(path, mode | 0o111 if stat.S_ISDIR(facts.st_mode) else mode)
                os.lchown(path, os.geteuid(), os.getegid())
        os.rename(self._directory, target)

    def _check(self, uid: int) -> None:
        links = {}
        for path, facts in _all_in(self._directory):
            if uid >= 0 and facts.st_uid != uid:
                raise Refused(f"{self._name(path)} belongs to somebody else.")
            if _is_link(facts):
                links[path] = os.readlink(path)
            elif stat.S_ISDIR(facts.st_mode):
                if facts.st_mode & 0o700 != 0o700:
                    raise Refused(f"{self._name(path)} is closed to its owner.")
            elif not stat.S_ISREG(facts.st_mode):
                raise Refused(f"{self._name(path)} is neither file nor directory.")
        if links != self._links:
            changed = min(links.items() ^ self._links.items())[0]
            raise Refused(f"{self._name(changed)} is a link, or is none any more.")
        if self._read_settings() != self._settings:
            raise Refused("'pyvenv.cfg' in the environment was changed.")

    def _name(self, path: str) -> str:
        return f"{os.path.relpath(path, self._directory)!a} in the environment"

    def _read_settings(self) -> bytes:
        path = f"{self._directory}/pyvenv.cfg"
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                return file.read(1 << 16)
        except OSError as error:
            raise Refused("'pyvenv.cfg' in the environment was changed.") from error


def _is_link(facts: os.stat_result) -> bool:
    return stat.S_ISLNK(facts.st_mode)


def _all_in(directory: str) -> "Iterator[tuple[str, os.stat_result]]":
    """`directory` and all that is in it, no link followed."""
    facts = os.lstat(directory)
    yield directory, facts
    if not stat.S_ISDIR(facts.st_mode):
        return
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                yield entry.path, facts
                if stat.S_ISDIR(facts.st_mode):
                    pending.append(entry.path)
