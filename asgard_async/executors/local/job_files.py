"""Measurement and deletion of the files of jobs, without following links."""

import os
from collections.abc import Mapping
from pathlib import Path

from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.descent import open_below
from asgard_async.core.files.remove_tree import entries_within, remove_tree
from asgard_async.domain.attempt import AttemptId
from asgard_async.domain.names import is_valid, job_id_of
from asgard_async.environments.cache import EnvironmentCache
from asgard_async.executors.local.directories import LOG_NAME, WORK
from asgard_async.supervisor.disk_usage import size_of
from asgard_async.supervisor.sandbox.caches import JobCaches
from asgard_async.supervisor.shared_directory import LeasedDirectory

ATTEMPT_FILES = frozenset({"lock", "pid.json", "exit.json", "shim.log"})
"""The record of an attempt, which is kept. All other files in its directory belong to the job."""
MAX_PATHS = 20_000
MAX_DEPTH = 16
"""The walk holds a descriptor for each level."""


class _Unlisted(Exception):
    """There are too many files, or some are too deep."""


def _paths_below(directory: int) -> list[str]:
    """Return the paths of the files below an open directory, without following links.

    Raises:
        _Unlisted: there are too many of them, or some are too deep.
        OSError: a directory cannot be read.
    """
    found: list[str] = []
    entries = 0

    def walk(folder: int, prefix: str, depth: int) -> None:
        nonlocal entries
        folders: list[str] = []
        with os.scandir(folder) as scanned:
            for entry in scanned:
                entries += 1
                if entries > MAX_PATHS:
                    raise _Unlisted
                is_folder = entry.is_dir(follow_symlinks=False)
                (folders if is_folder else found).append(f"{prefix}{entry.name}")
        if folders and depth == MAX_DEPTH:
            raise _Unlisted
        for path in folders:
            below = open_below(folder, path.removeprefix(prefix))
            try:
                walk(below, f"{path}/", depth + 1)
            finally:
                os.close(below)

    walk(directory, "", 0)
    return found


class LocalJobFiles:
    """The files of all jobs in a data directory; see `JobFiles`."""

    def __init__(self, data: DataDirectory) -> None:
        self._jobs_dir = data.jobs
        self._environments = EnvironmentCache(data.environments)
        self._caches = JobCaches(data.job_caches)

    def job_ids(self) -> set[str]:
        """See `JobFiles.job_ids`; other entries, such as lost+found, are ignored."""
        names = os.listdir(self._jobs_dir)  # noqa: PTH208  # only names are needed
        return {name for name in names if is_valid(job_id_of, name)}

    def directory_bytes(self, job_id: str) -> int:
        """See `JobFiles.directory_bytes`."""
        return sum(map(size_of, self._left_by_attempts(job_id)))

    def log_bytes(self, job_id: str) -> int:
        """See `JobFiles.log_bytes`."""
        return sum(map(size_of, self._log_files(job_id)))

    def all_bytes(self, job_id: str) -> int:
        """See `JobFiles.all_bytes`."""
        return size_of(self._job(job_id))

    def paths(self, attempt: AttemptId) -> list[str] | None:
        """See `JobFiles.paths`; None also if there are too many, or some are too deep."""
        names = job_id_of(attempt.job_id), "attempts", f"{attempt.number:d}", WORK
        try:
            work = open_below(str(self._jobs_dir), *names)
        except OSError:
            return None
        try:
            return _paths_below(work)
        except (_Unlisted, OSError):
            return None
        finally:
            os.close(work)

    def remove_directory(self, job_id: str) -> None:
        """See `JobFiles.remove_directory`."""
        for path in self._left_by_attempts(job_id):
            remove_tree(path, within=self._jobs_dir)

    def remove_log(self, job_id: str) -> None:
        """See `JobFiles.remove_log`."""
        # the log first: without the file that records its hole, zeros would be read as output
        for path in sorted(self._log_files(job_id)):
            remove_tree(path, within=self._jobs_dir)

    def remove_all(self, job_id: str) -> None:
        """See `JobFiles.remove_all`."""
        remove_tree(self._job(job_id))

    def environments(self) -> Mapping[str, LeasedDirectory]:
        """See `JobFiles.environments`."""
        return {environment.key: environment for environment in self._environments.all()}

    def caches(self) -> Mapping[str, LeasedDirectory]:
        """See `JobFiles.caches`."""
        return {cache.name: cache for cache in self._caches.all()}

    def sweep_caches(self) -> None:
        """See `JobFiles.sweep_caches`."""
        self._caches.sweep()

    def _left_by_attempts(self, job_id: str) -> list[Path]:
        names = job_id_of(job_id), "attempts"
        return [
            self._jobs_dir.joinpath(*names, attempt, name)
            for attempt in entries_within(self._jobs_dir, *names)
            for name in entries_within(self._jobs_dir, *names, attempt)
            if name not in ATTEMPT_FILES
        ]

    def _log_files(self, job_id: str) -> list[Path]:
        # the log and its accompanying files, whose names start with its name
        return [
            self._job(job_id) / name
            for name in entries_within(self._jobs_dir, job_id_of(job_id))
            if name.startswith(LOG_NAME)
        ]

    def _job(self, job_id: str) -> Path:
        return self._jobs_dir / job_id_of(job_id)
