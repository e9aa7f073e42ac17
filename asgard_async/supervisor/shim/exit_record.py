"""The record of an attempt's end, exit.json."""

import errno
import os
import time

from . import files, linux

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL_SECONDS = 1.0


def write_exit(
    directory: str,
    *,
    how: str,
    status: int,
    stop: "str | None",
    killed: bool,
    error: "str | None",
    usage: "dict[str, str | int | float | None]",
) -> None:
    """Record how the job ended; `status` is from wait(2), `stop` is the reason for stopping it."""
    signaled = os.WIFSIGNALED(status)
    facts: dict[str, str | int | float | None] = {
        "how": how,
        "exit_code": None if signaled else os.WEXITSTATUS(status),
        "signal": os.WTERMSIG(status) if signaled else None,
        "stop": stop,
        "killed": int(killed),
        "error": error,
        "ended_at": time.time(),
        **usage,
    }
    _write_when_possible(directory, files.to_json(facts))


def _write_when_possible(directory: str, text: str) -> None:
    """Write exit.json, waiting for free space, so that a job that filled the disk is not lost."""
    while True:
        try:
            files.write_durably(directory, files.EXIT, text)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
        else:
            return
        linux.kill_descendants()  # the job's processes may be filling the disk
        time.sleep(DISK_FULL_SECONDS)
