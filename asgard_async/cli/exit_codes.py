"""Exit codes of `asgard run`, following timeout(1), docker run and shells where they agree."""

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgard_async.client import Job

TIMEOUT = 124
NO_RESULT = 125
"""The script's exit code is unknown: it never ran, was lost, or the user detached."""
SIGNAL_BASE = 128
CANCELLED = 130

REASONS_WITHOUT_EXIT_CODE = {"environment_failed", "start_failed", "lost"}


def exit_code_of(job: "Job") -> int:
    """Return the exit code for a finished job."""
    if job.succeeded:
        return 0
    if job.reason == "timeout":
        return TIMEOUT
    if job.reason == "cancelled":
        return CANCELLED
    if job.reason in REASONS_WITHOUT_EXIT_CODE:
        return NO_RESULT
    if job.exit_code:
        return job.exit_code
    if job.signal:
        try:
            return SIGNAL_BASE + signal.Signals[job.signal]
        except KeyError:  # a signal that this system does not have
            return SIGNAL_BASE
    return NO_RESULT
