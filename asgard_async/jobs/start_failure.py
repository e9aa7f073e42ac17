"""Why a job could not be started: in words for its owner, without the paths that errors name."""

import errno
import os

from asgard_async.executors.base import CannotStart

TRANSIENT = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""What a machine under load refuses for a moment: processes, memory, open files."""
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_transient(error: Exception) -> bool:
    """Whether the same start may succeed a little later."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in TRANSIENT
    )


def in_words(error: Exception) -> str:
    """The cause and what to do about it, as the end of a sentence."""
    if isinstance(error, CannotStart):
        return str(error)
    if is_transient(error):
        cause = os.strerror(getattr(error, "errno", None) or errno.ENOMEM)
        return f"the machine had no room for it ({cause}). Retry the job when less runs"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return (
            f"the service's disk has no room for its files ({os.strerror(error.errno)})."
            " Have some freed, then retry the job"
        )
    if isinstance(error, OSError) and error.errno is not None:
        return (
            f"its files could not be laid out ({os.strerror(error.errno)})."
            " The service's log tells more; retry the job when that is mended"
        )
    return "an error within Asgard. The service's log tells more"
