"""The executor protocol: all functions of an executor that the service needs.

The database records the id of an attempt before the attempt starts, so every running attempt has a
record. The id alone is enough to find the attempt again.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from prometheus_client.registry import Collector

from asgard_async.core.files.foreign_tree import DEFAULT_BOUNDS, Bounds, Listing, OpenFile
from asgard_async.domain.attempt import AttemptId, Ended
from asgard_async.domain.job import Started
from asgard_async.domain.resources import ResourceRequest
from asgard_async.domain.status import Isolation
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.logs.source import LogSource
from asgard_async.supervisor.disk_usage import DiskUsage
from asgard_async.supervisor.limits.mechanisms import Mechanism
from asgard_async.supervisor.limits.resource_limits import ResourceLimits


@dataclass(frozen=True, kw_only=True)
class AttemptRequest:
    """A program to run, with its environment and limits; times are in seconds."""

    attempt: AttemptId
    script_name: str
    """Path of the program below the working directory."""
    is_notebook: bool = False
    """True if the program is a notebook; it runs in its own kernel."""
    arguments: Sequence[str] = ()
    """Command-line arguments of the program."""
    script: bytes = b""
    """Source code of the program, unless there is an archive."""
    archive: Path | None = None
    """The service's copy of an archive that contains `script_name`, to unpack into the working
    directory."""
    environment: EnvironmentSpec | None = None
    """The environment to run in, made available by `Executor.environment`; None for the base."""
    requirements: Sequence[str] = ()
    """The requirements as submitted with the job."""
    imports: frozenset[str] | None = None
    """Packages that the program may import; None if unknown."""
    warm: bool = True
    """True if the program may run in a fork of an interpreter with preloaded modules."""
    variables: Mapping[str, str] = field(repr=False)
    """Environment variables, in addition to those that the executor sets."""
    own_variables: frozenset[str] = frozenset()
    """Names of the variables that were submitted with the job."""
    owner: str = ""
    """Name of the token that submitted the job. Owners do not share caches."""
    resources: ResourceRequest = field(default_factory=ResourceRequest)
    timeout: float
    grace: float
    """Time between SIGTERM and SIGKILL when the attempt is stopped."""


class CannotStart(Exception):
    """An attempt cannot be started, and retrying does not help.

    The message contains the cause and the remedy as the end of a sentence, without paths of the
    service.
    """


class EnvironmentFailed(Exception):
    """An environment cannot be made available; the message explains why to the job's owner."""


class NoWorkingDirectory(FileNotFoundError):
    """An attempt has no working directory: it never had one, or it was deleted."""


@dataclass(frozen=True, kw_only=True)
class RemovedFiles:
    """The deletion of the files that a job's scripts left behind."""

    at: datetime
    why: str
    """The reason, as a clause: "ended more than 30 days ago"."""


class SharedDirectory(Protocol):
    """A directory that several jobs use: an environment, or caches. The methods block."""

    @property
    def last_used_at(self) -> datetime:
        """The time of the last use."""

    def usage(self) -> DiskUsage:
        """Return the disk space that deletion would free."""

    def is_in_use(self) -> bool:
        """Return whether a job uses the directory."""

    def remove(self) -> bool:
        """Delete the directory; return False if it is in use or another process deletes it."""


class JobFiles(Protocol):
    """The files of jobs. The methods block, so call them in a thread."""

    def job_ids(self) -> set[str]:
        """Return the ids of all jobs with files."""

    def directory_bytes(self, job_id: str) -> int:
        """Return the disk space of the files that a job's scripts left behind."""

    def log_bytes(self, job_id: str) -> int:
        """Return the disk space of a job's log."""

    def all_bytes(self, job_id: str) -> int:
        """Return the disk space of all files of a job."""

    def paths(self, attempt: AttemptId) -> list[str] | None:
        """Return the paths of the files in an attempt's working directory; None if unknown."""

    def listing(
        self, attempt: AttemptId, folder: Sequence[str] = (), bounds: Bounds = DEFAULT_BOUNDS
    ) -> Listing:
        """Return what is in an attempt's working directory, or in a folder of it.

        Only what the job itself may read is listed, no link is followed, and time and number of
        entries are bounded. The paths are relative to the folder.

        Raises:
            NoWorkingDirectory: there is none.
            OSError: there is no such folder.
        """

    def open_file(self, attempt: AttemptId, names: Sequence[str]) -> OpenFile:
        """Open a file in an attempt's working directory that the job itself may read.

        Raises:
            NoWorkingDirectory: there is none.
            IsADirectoryError: it is a folder.
            OSError: there is no such file, or it may not be read.
        """

    def removed_files(self, job_id: str) -> RemovedFiles | None:
        """Return when and why `remove_directory` deleted a job's files; None if it did not."""

    def remove_directory(self, job_id: str, *, why: str) -> None:
        """Delete the files that a job's scripts left behind, but not its log and its outcome."""

    def remove_log(self, job_id: str) -> None:
        """Delete a job's log, which is empty from then on."""

    def remove_all(self, job_id: str) -> None:
        """Delete all files of a job."""

    def environments(self) -> Mapping[str, SharedDirectory]:
        """Return the environments of jobs, by key."""

    def caches(self) -> Mapping[str, SharedDirectory]:
        """Return the caches of jobs, by name."""

    def sweep_caches(self) -> None:
        """Finish interrupted deletions of caches."""


class Executor(Protocol):
    """Runs attempts of jobs. Attempts continue to run while the service is stopped."""

    @property
    def logs(self) -> LogSource:
        """The logs of the executor's jobs."""

    @property
    def collectors(self) -> Sequence[Collector]:
        """The executor's own metrics, read on every scrape."""

    @property
    def problem(self) -> str | None:
        """The reason why no attempt can be started, as a sentence; None if there is none."""

    @property
    def isolation(self) -> Isolation | None:
        """The isolation level of jobs; None while `problem` says why there is none."""

    @property
    def mechanisms(self) -> Mapping[str, Mechanism]:
        """The mechanism that enforces each limit of jobs, by the name of the limit."""

    def prewarm(self) -> None:
        """Prepare for quick starts, after the jobs of an earlier service process are resumed."""

    @property
    def files(self) -> JobFiles:
        """The files of the executor's jobs."""

    async def ready(self) -> None:
        """Wait until attempts can be started."""

    def limits(self, resources: ResourceRequest) -> ResourceLimits:
        """Return the limits of a job that requests these resources."""

    # --- environments ---------------------------------------------------------------------

    def environment_for(
        self,
        requirements: Sequence[str],
        *,
        job_id: str = "",
        imports: frozenset[str] | None = None,
    ) -> EnvironmentSpec | None:
        """Return the environment that a job's requirements need.

        `imports` are the packages that the program may import; None if unknown.

        None if the base environment satisfies them, or if attempts create their environments when
        they start. In this case, the job skips phase ENVIRONMENT. May be called in any thread.
        """

    def environment(
        self, environment: EnvironmentSpec, *, job_id: str
    ) -> AbstractAsyncContextManager[None]:
        """Make an environment available to attempts that start inside the context.

        The environment is built if necessary. Jobs that need the same environment share one build,
        whose output is copied to their logs. Cancellation does not stop the build, so that a
        restarted service can find it; see `abandon`.

        Raises:
            EnvironmentFailed: on entry, if the environment cannot be built.
        """

    async def abandon(self, environment: EnvironmentSpec) -> None:
        """Stop building an environment unless another job is waiting for it."""

    # --- attempts -------------------------------------------------------------------------

    async def start(self, request: AttemptRequest) -> datetime | None:
        """Start an attempt and return the time at which its script started.

        Return None if the script did not start; `wait` then returns the reason. An attempt starts
        at most once, even if this is called several times or by several processes.

        Raises:
            CannotStart, OSError: the attempt probably did not start; call `wait` to be certain.
        """

    async def wait(self, attempt: AttemptId) -> Ended:
        """Wait until an attempt and all its processes have ended; may be called repeatedly.

        If the attempt was never started, this rules it out: it cannot start afterwards. `error`
        then says why a start that was requested did not happen, if the executor knows.
        """

    async def started(self, attempt: AttemptId) -> Started | None:
        """Return the time and manner in which an attempt's script started, if known."""

    async def stop(self, attempt: AttemptId) -> None:
        """Stop an attempt with SIGTERM and, after its grace period, SIGKILL. Return immediately.

        If the attempt was never started, this rules it out: it cannot start afterwards.
        """

    async def remove(self, job_id: str) -> None:
        """Delete all files of a job's attempts, including the log."""
