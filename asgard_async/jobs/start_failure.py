"""Descriptions of failed starts for the owner of a job, without the paths in errors."""

import errno
import os

from asgard_async.executors.base import CannotStart

TRANSIENT = {
    errno.EAGAIN: "processes",
    errno.ENOMEM: "memory",
    errno.EMFILE: "open files",
    errno.ENFILE: "open files",
}
"""Errors on a machine under load → the resource that is temporarily exhausted."""
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_transient(error: Exception) -> bool:
    """Return whether the same start may succeed later."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in TRANSIENT
    )


def describe(error: Exception) -> str:
    """Return the cause and the remedy as the end of a sentence."""
    if isinstance(error, CannotStart):
        return str(error)
    if is_transient(error):
        number = getattr(error, "errno", None) or errno.ENOMEM
        return (
            f"the machine ran out of {TRANSIENT[number]} ({os.strerror(number)})."
            " Retry the job when fewer jobs run"
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return (
            f"the service's disk has no space for its files ({os.strerror(error.errno)})."
            " Ask the administrator to free some, then retry the job"
        )
    if isinstance(error, OSError) and error.errno is not None:
        return (
            f"its files could not be created ({os.strerror(error.errno)})."
            " See the service's log for the cause; retry the job once it is fixed"
        )
    return "internal error. See the service's log"
