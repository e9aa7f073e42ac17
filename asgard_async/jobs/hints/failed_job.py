"""All that hints need to know about a job that failed."""

import sys
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class FailedJob:
    """A job that failed, as far as it is known."""

    output: str = ""
    """The end of the script's output, without terminal codes."""
    exception: str | None = None
    """The line of the exception that ended the script."""
    traceback: str = ""
    """The end of that exception's traceback."""
    build_error: str = ""
    """The reason why the job's environment could not be built."""
    exit_code: int | None = None
    signal: str | None = None
    """The name of the signal that ended the script."""
    job_id: str = ""
    isolation: str | None = None
    """The isolation level of the attempt; None if unknown."""
    is_archive: bool = False
    """True if an archive was uploaded; False for a lone script."""
    entrypoint: str = ""
    """The path of the script below the working directory."""
    files: Collection[str] | None = None
    """The paths of the files in the working directory after the end; None if unknown."""
    requirements: Collection[str] = ()
    variables: Collection[str] = field(default=(), repr=False)
    """The names of the submission's environment variables."""
    experiment_name: str = ""
    python: tuple[int, int] = sys.version_info[:2]
    """The version of the Python that ran the script."""
