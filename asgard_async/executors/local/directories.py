"""The directories of attempts on this machine.

jobs/<job_id>/job.log                   output of all attempts
jobs/<job_id>/attempts/<n>/             lock, pid.json, exit.json, shim.log
jobs/<job_id>/attempts/<n>/work         the working directory: the script or the content of its
                                        archive, and the files that the script writes
jobs/<job_id>/attempts/<n>/{home,tmp}   HOME and TMPDIR; inside a sandbox, tmp is /tmp
"""

import contextlib
import os
from pathlib import Path

from asgard_async.core.archives.names import ArchiveLimits, ArchiveRefused
from asgard_async.core.archives.unpack import unpack
from asgard_async.core.files.descent import open_below
from asgard_async.core.files.regular import open_regular
from asgard_async.domain.attempt import AttemptId
from asgard_async.domain.names import job_id_of
from asgard_async.executors.base import AttemptRequest, CannotStart

LOG_NAME = "job.log"
WORK = "work"
HOME = "home"
TEMPORARY = "tmp"
OWN_DIRECTORIES = (WORK, HOME, TEMPORARY)
"""The directories that a job may write to, below its attempt's directory."""


class AttemptDirectories:
    """Creates the directories of attempts below `jobs_dir`. Its methods block."""

    def __init__(self, jobs_dir: Path, archive_limits: ArchiveLimits) -> None:
        self._jobs_dir = jobs_dir
        self._archive_limits = archive_limits

    def of(self, attempt: AttemptId) -> Path:
        """Return the directory of an attempt."""
        return self._jobs_dir / job_id_of(attempt.job_id) / "attempts" / f"{attempt.number:d}"

    def existing(self, attempt: AttemptId) -> Path:
        """Return the directory of an attempt; create it if missing, to rule the attempt out."""
        directory = self.of(attempt)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    def prepare(self, request: AttemptRequest, *, for_all_users: bool) -> frozenset[str]:
        """Create a job's files; return the names of the modules in its script's directory.

        With `for_all_users`, any user can traverse the private directories above the job's.

        Raises:
            CannotStart: the archive is missing or cannot be unpacked.
        """
        directory = self.of(request.attempt)
        for path in (directory, *own_directories(directory)):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if for_all_users:
            for path in (directory, directory.parent, directory.parent.parent):
                path.chmod(0o711)
        script = directory / WORK / request.script_name
        if request.archive is None:
            _write_script(script, request.script)
            return frozenset({Path(request.script_name).stem})
        if not request.archive.exists():
            raise CannotStart("its archive is missing on the service's disk. Submit the job again")
        try:
            # checked again, because the limits or the file may have changed
            unpack(request.archive, directory / WORK, self._archive_limits)
        except ArchiveRefused as error:
            raise CannotStart(
                f"its archive cannot be unpacked. {error} Submit the job again"
            ) from error
        return frozenset(path.name.partition(".")[0] for path in script.parent.iterdir())

    def reclaim(self, attempt: AttemptId) -> None:
        """Make the service the owner of the job's directories, since other jobs reuse its user."""
        for path in own_directories(self.of(attempt)):
            with contextlib.suppress(OSError):  # removed, or replaced by the job
                descriptor = open_below(str(path.parent), path.name)
                try:
                    if os.fstat(descriptor).st_uid != os.geteuid():
                        os.fchown(descriptor, os.geteuid(), os.getegid())
                        os.fchmod(descriptor, 0o700)
                finally:
                    os.close(descriptor)


def own_directories(directory: Path) -> list[Path]:
    """Return the directories that a job may write to, below its attempt's `directory`."""
    return [directory / name for name in OWN_DIRECTORIES]


def _write_script(path: Path, script: bytes) -> None:
    with os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(script)
