"""Measuring and deleting the files of jobs, without following links."""

import contextlib
import os
import re
import stat
from pathlib import Path

from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.supervisor.shim import disk

LOG_PREFIX = "job.log"
"""Common prefix of the log and its accompanying files."""
ATTEMPT_FILES = frozenset({"lock", "pid.json", "exit.json", "shim.log"})
"""The record of an attempt, which is kept; everything else in its directory is the job's."""

_job_id = re.compile(r"[0-9a-f]{8}")


class JobFiles:
    """The files of all jobs, below one directory. Its methods block: call them in a thread."""

    def __init__(self, jobs_dir: Path) -> None:
        self._jobs_dir = jobs_dir

    def job_ids(self) -> set[str]:
        """The ids of all jobs with files; other entries, such as lost+found, are ignored."""
        names = os.listdir(self._jobs_dir)  # noqa: PTH208  # only names are needed
        return {name for name in names if _job_id.fullmatch(name)}

    def directory_bytes(self, job_id: str) -> int:
        """The disk space of the files that a job's scripts left in their directories."""
        return sum(map(size_of, self._left_by_attempts(job_id)))

    def log_bytes(self, job_id: str) -> int:
        """The disk space of a job's log."""
        return sum(map(size_of, self._log_files(job_id)))

    def all_bytes(self, job_id: str) -> int:
        """The disk space of all files of a job."""
        return size_of(self._jobs_dir / job_id)

    def remove_directory(self, job_id: str) -> None:
        """Delete the files that a job's scripts left in their directories."""
        for path in self._left_by_attempts(job_id):
            remove_tree(path)

    def remove_log(self, job_id: str) -> None:
        """Delete a job's log; it reads as empty from then on."""
        # the log before its accompanying files: without the list of gaps, zeros would be output
        for path in sorted(self._log_files(job_id)):
            remove_tree(path)

    def remove_all(self, job_id: str) -> None:
        """Delete all files of a job."""
        remove_tree(self._jobs_dir / job_id)

    def _left_by_attempts(self, job_id: str) -> list[Path]:
        return [
            path
            for attempts in _entries(self._jobs_dir / job_id)
            if attempts.name == "attempts"
            for attempt in _entries(attempts)
            for path in _entries(attempt)
            if path.name not in ATTEMPT_FILES
        ]

    def _log_files(self, job_id: str) -> list[Path]:
        return [
            path for path in _entries(self._jobs_dir / job_id) if path.name.startswith(LOG_PREFIX)
        ]


def _entries(directory: Path) -> list[Path]:
    if directory.is_symlink():
        return []  # a job can replace its directory by a link
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def size_of(path: Path) -> int:
    """The disk space of a file or a tree in bytes; a hard-linked file counts by its share."""
    total = 0
    with contextlib.suppress(OSError):  # deleted meanwhile, or nested too deep: a partial sum
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return status.st_blocks * disk.BLOCK // status.st_nlink
        total += status.st_blocks * disk.BLOCK
        for status in disk.statuses_below([str(path)]):
            links = 1 if stat.S_ISDIR(status.st_mode) else max(1, status.st_nlink)
            total += status.st_blocks * disk.BLOCK // links
    return total
