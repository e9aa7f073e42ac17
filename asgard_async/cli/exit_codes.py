"""What `asgard run` exits with. Like timeout(1), docker run and shells do, where those agree."""

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgard_async.client import Job

TIMEOUT = 124
NO_RESULT = 125
"""The script has no exit code: Asgard could not run it or cannot tell, or nobody waited for it."""
SIGNAL_BASE = 128
CANCELLED = 130

NEVER_RAN = {"environment_failed", "start_failed", "lost"}


def exit_code_of(job: "Job") -> int:
    """The exit code that tells how a finished job ended."""
    if job.succeeded:
        return 0
    if job.reason == "timeout":
        return TIMEOUT
    if job.reason == "cancelled":
        return CANCELLED
    if job.reason in NEVER_RAN:
        return NO_RESULT
    if job.exit_code:
        return job.exit_code
    if job.signal:
        try:
            return SIGNAL_BASE + signal.Signals[job.signal]
        except KeyError:  # one that this system does not have
            return SIGNAL_BASE
    return NO_RESULT
