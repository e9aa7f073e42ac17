"""User ids for the jobs of a service that is root: one for each job that runs.

uids/<uid>                             locked (shared) by the keeper of the job that has it
uids/<uid>.starting                    locked by who starts such a job
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.files.locks import is_held
from asgard_async.supervisor.sandbox.mounts import Mount, read


class NoUidLeft(Exception):
    """As many jobs run as there are user ids for them."""


class Uids:
    """A range of user ids that no user of this machine has."""

    def __init__(self, directory: Path, *, first: int, count: int) -> None:
        self._directory = directory
        self._range = range(first, first + count - 1)
        self.reserved = first + count - 1
        """That of no job."""

    def lock_of(self, uid: int) -> Path:
        """The file that is locked as long as the uid is in use."""
        return self._directory / str(uid)

    @contextlib.contextmanager
    def taken(self) -> Iterator[int]:
        """The lowest uid that is free, for an attempt whose keeper has its lock at the end.

        Caches are kept for each of them, so few are used again and again.

        Raises:
            NoUidLeft: see there.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for uid in self._range:
            if (lock := self._take(uid)) is not None:
                break
        else:
            raise NoUidLeft("more jobs run than there are user ids ([isolation] uids)")
        try:
            yield uid
        finally:
            os.close(lock)

    def names(self, uid: int) -> list[Mount]:
        """Mounts by which the system knows the user: libraries fail that ask for its name."""
        mounts = []
        for file, line in (
            ("passwd", f"asgard-job:x:{uid}:{uid}::/tmp:/bin/sh\n"),
            ("group", f"asgard-job:x:{uid}:\n"),
        ):
            system, own = Path("/etc", file), self._directory / f"{uid}.{file}"
            if not system.exists():
                continue
            text = system.read_text(errors="surrogateescape") + line
            if not own.exists() or own.read_text(errors="surrogateescape") != text:
                # never changed in its place: a job may have it mounted
                new = own.with_name(f".{own.name}")
                new.write_text(text, errors="surrogateescape")
                new.chmod(0o644)
                new.rename(own)
            mounts.append(read(own, system))
        return mounts

    def _take(self, uid: int) -> int | None:
        """Keep a uid from all others, `asgard env build` included; None if somebody has it."""
        path = self._directory / f"{uid}.starting"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_held(self.lock_of(uid)):
                return lock
        except BlockingIOError:
            pass
        os.close(lock)
        return None


def give(path: Path, uid: int) -> None:
    """Make a file or directory, and what is in it, a user's own; no link is followed."""
    os.lchown(path, uid, uid)
    if path.is_dir() and not path.is_symlink():
        for folder, directories, files in os.walk(path):
            for name in (*directories, *files):
                os.lchown(os.path.join(folder, name), uid, uid)  # noqa: PTH118
