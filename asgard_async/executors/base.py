"""The executor protocol: everything the service needs from a place where attempts run.

An attempt is named before it is started, so it never runs under a name that the database does not
know. The name alone is enough to find it again.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from asgard_async.domain.attempt import AttemptId, Ended
from asgard_async.domain.job import Started
from asgard_async.domain.resources import ResourceRequest
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.logs.source import LogSource
from asgard_async.supervisor.limits.resource_limits import ResourceLimits


@dataclass(frozen=True, kw_only=True)
class AttemptRequest:
    """A program to run, and the bounds within which it runs; times in seconds."""

    attempt: AttemptId
    script_name: str
    """The program: a path below the working directory."""
    script: bytes = b""
    """Its source, unless it comes in an archive."""
    archive: Path | None = None
    """The service's copy of an archive to unpack into the working directory, `script_name` in it.
    """
    environment: EnvironmentSpec | None = None
    """The environment to run in, made available by `Executor.environment`; None for the base."""
    requirements: Sequence[str] = ()
    """The requirements as the job states them."""
    imports: frozenset[str] | None = None
    """The packages that the program imports at most; None if unknown."""
    warm: bool = True
    """True if it may run in a fork of an interpreter that has its imports done."""
    variables: Mapping[str, str] = field(repr=False)
    """Environment variables, in addition to those that the executor sets."""
    own_variables: frozenset[str] = frozenset()
    """Names of the variables that the job brought itself."""
    owner: str = ""
    """Name of the token that submitted the job; its caches are shared with no other owner."""
    resources: ResourceRequest = field(default_factory=ResourceRequest)
    timeout: float
    grace: float
    """Time between SIGTERM and SIGKILL when the attempt is stopped."""


class CannotStart(Exception):
    """An attempt cannot be started, however often it is tried.

    The text names the cause and the remedy as the end of a sentence, without paths of the service.
    """


class EnvironmentFailed(Exception):
    """An environment cannot be made available; the text says why, for the owner of the job."""


class JobFiles(Protocol):
    """The files of jobs, for retention. The methods block: call them in a thread."""

    def job_ids(self) -> set[str]:
        """Return the ids of all jobs with files."""

    def directory_bytes(self, job_id: str) -> int:
        """Return the disk space of the files that a job's scripts left."""

    def log_bytes(self, job_id: str) -> int:
        """Return the disk space of a job's log."""

    def all_bytes(self, job_id: str) -> int:
        """Return the disk space of all files of a job."""

    def remove_directory(self, job_id: str) -> None:
        """Delete the files that a job's scripts left; its log and its outcome stay."""

    def remove_log(self, job_id: str) -> None:
        """Delete a job's log, which is empty from then on."""

    def remove_all(self, job_id: str) -> None:
        """Delete all files of a job."""


class Executor(Protocol):
    """A place where attempts run. No attempt depends on the service being alive."""

    @property
    def logs(self) -> LogSource:
        """The logs of the executor's jobs."""

    @property
    def files(self) -> JobFiles:
        """The files of the executor's jobs."""

    async def ready(self) -> None:
        """Wait until attempts can be started at all."""

    def limits(self, resources: ResourceRequest) -> ResourceLimits:
        """Return the limits of a job that asks for these resources."""

    # --- environments ---------------------------------------------------------------------

    def environment_for(
        self, requirements: Sequence[str], *, job_id: str = ""
    ) -> EnvironmentSpec | None:
        """Return the environment that a job's requirements need.

        None if the base environment satisfies them, or if attempts make their own environment when
        they start: the job then skips phase ENVIRONMENT. May be called in any thread.
        """

    def environment(
        self, environment: EnvironmentSpec, *, job_id: str
    ) -> AbstractAsyncContextManager[None]:
        """Make an environment available to attempts that start inside the context.

        It is built if necessary, shared with other jobs that need the same one; the output of the
        build goes to the job's log. Cancellation leaves the build alone, so that a restarted
        service finds it; see `abandon`.

        Raises:
            EnvironmentFailed: on entry, if it cannot be built.
        """

    async def abandon(self, environment: EnvironmentSpec) -> None:
        """Stop building an environment unless another job waits for it."""

    # --- attempts -------------------------------------------------------------------------

    async def start(self, request: AttemptRequest) -> datetime | None:
        """Start an attempt and return the time at which its script began to run.

        Return None if it did not: `wait` then says why. An attempt starts at most once, however
        often and by whomever it is started.

        Raises:
            CannotStart, OSError: when most likely nothing was started; `wait` knows for certain.
        """

    async def wait(self, attempt: AttemptId) -> Ended:
        """Wait until an attempt and all its processes have ended; may be repeated at any time.

        An attempt that nobody has started is ruled out: it never starts afterwards.
        """

    async def started(self, attempt: AttemptId) -> Started | None:
        """Return when and how an attempt's script began to run, as far as that is known."""

    async def stop(self, attempt: AttemptId) -> None:
        """Stop an attempt with SIGTERM and, after its grace, SIGKILL. Return at once.

        An attempt that has not been started never will be.
        """

    async def remove(self, job_id: str) -> None:
        """Delete everything that a job's attempts left behind, its log included."""
