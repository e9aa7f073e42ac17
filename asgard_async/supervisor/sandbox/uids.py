"""User ids for the jobs of a root service: one for each running job.

uids/<uid>                             locked (shared) by the keeper of the job that uses it
uids/<uid>.starting                    locked by the process that starts the job
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.files.locks import is_held
from asgard_async.supervisor.sandbox.mounts import Mount, read


class NoUidLeft(Exception):
    """Every uid for jobs and builds is in use."""


class Uids:
    """A range of user ids that belong to no user of this machine."""

    def __init__(self, directory: Path, *, first: int, count: int) -> None:
        self._directory = directory
        self._range = range(first, first + count - 1)
        self.reserved = first + count - 1
        """A uid that no job uses."""

    def lock_of(self, uid: int) -> Path:
        """Return the file that is locked while the uid is in use."""
        return self._directory / str(uid)

    @contextlib.contextmanager
    def reserve(self, *, highest: bool = False) -> Iterator[int]:
        """Reserve the lowest free uid for an attempt, until its keeper has locked it.

        Caches are kept per uid, so uids are reused as far as possible. With `highest`, reserve the
        highest free one, which jobs hardly ever use.

        Raises:
            NoUidLeft: every uid is in use.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for uid in reversed(self._range) if highest else self._range:
            if (lock := self._lock_if_free(uid)) is not None:
                break
        else:
            raise NoUidLeft("more jobs are running than there are user ids ([isolation] uids)")
        try:
            yield uid
        finally:
            os.close(lock)

    def names(self, uid: int) -> list[Mount]:
        """Return mounts of passwd and group files with the user; some libraries need its name."""
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
                # replaced, not changed in place, because a job may have the file mounted
                new = own.with_name(f".{own.name}")
                new.write_text(text, errors="surrogateescape")
                new.chmod(0o644)
                new.rename(own)
            mounts.append(read(own, system))
        return mounts

    def _lock_if_free(self, uid: int) -> int | None:
        """Lock a uid against all other processes, `asgard env build` included; None if in use."""
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
