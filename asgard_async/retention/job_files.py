"""The files of jobs on the disk: measured, and removed, without following a link."""

import contextlib
import os
import re
import stat
from pathlib import Path

from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.supervisor.shim import disk

LOG_PREFIX = "job.log"
"""Of the log and of what lies beside it."""
KEPT_OF_ATTEMPT = frozenset({"lock", "pid.json", "exit.json", "shim.log"})
"""How an attempt went; everything else in its directory is the job's."""

_job_id = re.compile(r"[0-9a-f]{8}")


class JobFiles:
    """What jobs have below one directory. Blocks: to be called in a thread."""

    def __init__(self, jobs_dir: Path) -> None:
        self._jobs_dir = jobs_dir

    def known(self) -> set[str]:
        """Every job that has something there; what else lies there is not ours (lost+found)."""
        names = os.listdir(self._jobs_dir)  # noqa: PTH208  # names alone
        return {name for name in names if _job_id.fullmatch(name)}

    def directory_bytes(self, job_id: str) -> int:
        """What a job's scripts left in their directories takes on the disk."""
        return sum(map(size_of, self._left_by_attempts(job_id)))

    def log_bytes(self, job_id: str) -> int:
        """What a job's log takes on the disk."""
        return sum(map(size_of, self._log_files(job_id)))

    def all_bytes(self, job_id: str) -> int:
        """What a job takes on the disk."""
        return size_of(self._jobs_dir / job_id)

    def remove_directory(self, job_id: str) -> None:
        """Remove what a job's scripts left in their directories."""
        for path in self._left_by_attempts(job_id):
            remove_tree(path)

    def remove_log(self, job_id: str) -> None:
        """Remove a job's log; it is empty from then on."""
        # the log before what lies beside it: without its hole, zeros would be taken for output
        for path in sorted(self._log_files(job_id)):
            remove_tree(path)

    def remove_all(self, job_id: str) -> None:
        """Remove everything that a job has."""
        remove_tree(self._jobs_dir / job_id)

    def _left_by_attempts(self, job_id: str) -> list[Path]:
        return [
            path
            for attempts in _entries(self._jobs_dir / job_id)
            if attempts.name == "attempts"
            for attempt in _entries(attempts)
            for path in _entries(attempt)
            if path.name not in KEPT_OF_ATTEMPT
        ]

    def _log_files(self, job_id: str) -> list[Path]:
        return [
            path for path in _entries(self._jobs_dir / job_id) if path.name.startswith(LOG_PREFIX)
        ]


def _entries(directory: Path) -> list[Path]:
    if directory.is_symlink():
        return []  # a job can put a link where its directory was
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def size_of(path: Path) -> int:
    """What a file or a tree takes on the disk, in bytes; a file with several names its share."""
    total = 0
    with contextlib.suppress(OSError):  # many; or nested too deep, of which a part is told
        facts = path.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            return facts.st_blocks * disk.BLOCK // facts.st_nlink
        total += facts.st_blocks * disk.BLOCK
        for facts in disk.statuses_below([str(path)]):
            names = 1 if stat.S_ISDIR(facts.st_mode) else max(1, facts.st_nlink)
            total += facts.st_blocks * disk.BLOCK // names
    return total
