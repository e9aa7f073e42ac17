"""Listing, measurement and deletion of the files of jobs, without following links."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.descent import open_below
from asgard_async.core.files.foreign_tree import (
    DEFAULT_BOUNDS,
    Bounds,
    Kind,
    Listing,
    OpenFile,
    Reader,
    list_tree,
    open_file,
    open_folder,
)
from asgard_async.core.files.regular import open_regular, read_regular
from asgard_async.core.files.remove_tree import entries_within, remove_tree
from asgard_async.core.timestamps import now
from asgard_async.domain.attempt import AttemptId
from asgard_async.domain.names import is_valid, job_id_of
from asgard_async.domain.status import Isolation
from asgard_async.environments.cache import EnvironmentCache
from asgard_async.executors.base import NoWorkingDirectory, RemovedFiles
from asgard_async.executors.local.directories import LOG_NAME, WORK
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.disk_usage import size_of
from asgard_async.supervisor.sandbox.caches import JobCaches
from asgard_async.supervisor.shared_directory import LeasedDirectory

ATTEMPT_FILES = frozenset({"lock", "pid.json", "exit.json", "shim.log"})
"""The record of an attempt, which is kept. All other files in its directory belong to the job."""
REMOVED = "files-removed.json"
"""Beside the log: when and why the files of a job were deleted."""
MAX_REMOVED_BYTES = 4096

logger = logging.getLogger(__name__)


class LocalJobFiles:
    """The files of all jobs in a data directory; see `JobFiles`."""

    def __init__(self, data: DataDirectory, *, uids: range = range(0)) -> None:
        """`uids` are those of the jobs of a root service."""
        self._jobs_dir = data.jobs
        self._uids = uids
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
        try:
            listing = self.listing(attempt)
        except OSError:
            return None
        if not listing.is_complete:
            return None
        return [entry.path for entry in listing.entries if entry.kind is not Kind.DIRECTORY]

    def listing(
        self, attempt: AttemptId, folder: Sequence[str] = (), bounds: Bounds = DEFAULT_BOUNDS
    ) -> Listing:
        """See `JobFiles.listing`."""
        reader = self._reader(attempt)
        with self._working_directory(attempt) as work:
            below = open_folder(work, folder, reader)
            try:
                return list_tree(below, reader, bounds)
            finally:
                os.close(below)

    def open_file(self, attempt: AttemptId, names: Sequence[str]) -> OpenFile:
        """See `JobFiles.open_file`."""
        with self._working_directory(attempt) as work:
            return open_file(work, names, self._reader(attempt))

    def removed_files(self, job_id: str) -> RemovedFiles | None:
        """See `JobFiles.removed_files`."""
        try:
            content = read_regular(self._job(job_id) / REMOVED, max_bytes=MAX_REMOVED_BYTES)
            return msgspec.json.decode(content, type=RemovedFiles)
        except (OSError, msgspec.MsgspecError):
            return None

    def remove_directory(self, job_id: str, *, why: str) -> None:
        """See `JobFiles.remove_directory`."""
        for path in self._left_by_attempts(job_id):
            remove_tree(path, within=self._jobs_dir)
        note = msgspec.json.encode(RemovedFiles(at=now(), why=why))
        try:
            self._note_removal(job_id, note)
        except OSError as error:  # the files are gone all the same
            logger.warning(
                "could not note that the files of job %s were deleted: %s", job_id, error
            )

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

    def _note_removal(self, job_id: str, note: bytes) -> None:
        job = open_below(str(self._jobs_dir), job_id_of(job_id))
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(open_regular(REMOVED, flags, dir_fd=job), "wb") as file:
                file.write(note)
        finally:
            os.close(job)

    @contextlib.contextmanager
    def _working_directory(self, attempt: AttemptId) -> Iterator[int]:
        names = job_id_of(attempt.job_id), "attempts", f"{attempt.number:d}", WORK
        try:
            descriptor = open_below(str(self._jobs_dir), *names)
        except OSError as error:  # also if the job has replaced it
            raise NoWorkingDirectory(error.errno, error.strerror) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _reader(self, attempt: AttemptId) -> Reader:
        """Return the user of an attempt, which `AttemptDirectories.reclaim` makes hard to tell."""
        if os.geteuid() == 0:
            directory = self._job(attempt.job_id) / "attempts" / f"{attempt.number:d}"
            started = Attempt(directory).started()
            if started is None or started.isolation is not Isolation.PROCESS:
                return Reader(uids=self._uids)
        return Reader.oneself()

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
