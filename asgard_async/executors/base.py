"""What the jobs room needs of something that runs attempts.

An attempt is named before it is started, so there is no moment at which it runs under a name that
the database does not know. The name alone is enough to find it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from asgard_async.domain.attempt import AttemptId, Ended
from asgard_async.domain.job import Started
from asgard_async.supervisor.limits.resource_limits import ResourceLimits


@dataclass(frozen=True, kw_only=True)
class AttemptRequest:
    """What to run, and within which bounds; times in seconds."""

    attempt: AttemptId
    script_name: str
    """What is run: a path below the working directory."""
    script: bytes = b""
    """Its source, where it comes in no archive."""
    archive: Path | None = None
    """Unpacked into the working directory, with `script_name` in it."""
    python: Path
    """The interpreter of the job's environment."""
    warm: bool = True
    """Whether it may run in a fork of an interpreter that has its imports done."""
    imports: frozenset[str] | None = None
    """The packages that it imports at most; None where that is not known."""
    requirements: Sequence[str] = ()
    own_variables: frozenset[str] = frozenset()
    """Names of those in `environment` that the job brought itself."""
    held: Sequence[Path] = ()
    """Files that are locked (shared) as long as the attempt lives."""
    owner: str = ""
    """Name of the token that it was submitted with; caches are shared with no other."""
    environment: Mapping[str, str] = field(repr=False)
    timeout: float
    grace: float
    resource_limits: ResourceLimits


class CannotStart(Exception):
    """An attempt cannot be started, however often it is tried; the text says why and what to do, as
    the end of a sentence, without paths of this machine."""


class Executor(Protocol):
    """Runs attempts; none of them may depend on the service being alive."""

    async def ready(self) -> None:
        """Wait until attempts can be started at all."""

    async def start(self, request: AttemptRequest) -> datetime | None:
        """Start an attempt and return when its script began to run.

        None when it did not: `wait` then says why. An attempt starts at most once, whoever asks.

        Raises:
            CannotStart, OSError: most likely nothing was started; `wait` is certain.
        """

    async def wait(self, attempt: AttemptId) -> Ended:
        """Wait until an attempt and all its processes are over; may be asked again at any time.

        For an attempt that nobody has started this rules out that it ever will be.
        """

    async def started(self, attempt: AttemptId) -> Started | None:
        """When and how an attempt's script began to run, as far as is known."""

    async def stop(self, attempt: AttemptId) -> None:
        """Ask an attempt to end: SIGTERM, the launch's grace, SIGKILL. Returns at once.

        One that has not been started never will be.
        """

    async def remove(self, job_id: str) -> None:
        """Remove what the attempts of a job left behind."""
