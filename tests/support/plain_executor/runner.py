"""The process that runs one attempt: `python runner.py DIRECTORY`. Standard library alone.

It holds a lock on DIRECTORY/claim for as long as the attempt lives, so at most one runner ever runs
it, and whoever gets the lock knows that none does.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.01
PR_SET_PDEATHSIG = 1


def main(directory: Path) -> None:
    """Run the attempt in `directory`, unless it has run or was ruled out."""
    claim = os.open(directory / "claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if (directory / "result.json").exists():
        return
    if os.fork():  # the child keeps the lock, and is nobody's child once this process exits
        return
    if (directory / "stop").exists():
        finish(directory, end="NOT_STARTED")
    else:
        run(directory, json.loads((directory / "request.json").read_text()))


def run(directory: Path, request: dict[str, Any]) -> None:
    """Run the script until it exits, is stopped, or exceeds its timeout."""
    with Path(request["log"]).open("ab") as log:
        try:
            process = subprocess.Popen(
                [sys.executable, *request["argv"]],
                cwd=directory / "files",
                env=request["variables"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            finish(directory, end="START_FAILED", error=os.strerror(error.errno or 0))
            return
    replace(directory / "started", str(time.time()))
    stop, killed = None, False
    timeout_at, kill_at = time.monotonic() + request["timeout"], float("inf")
    while process.poll() is None:
        if stop is None and (directory / "stop").exists():
            stop = "requested"
        elif stop is None and time.monotonic() > timeout_at:
            stop = "timeout"
        if stop is not None and kill_at == float("inf"):
            os.killpg(process.pid, signal.SIGTERM)
            kill_at = time.monotonic() + request["grace"]
        elif time.monotonic() > kill_at and not killed:
            killed = True
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    code = process.returncode
    finish(
        directory,
        end="EXITED",
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        stop=stop,
        killed=killed,
    )


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def finish(directory: Path, **facts: Any) -> None:
    """Write the result of the attempt."""
    replace(directory / "result.json", json.dumps({**facts, "ended_at": time.time()}))


def replace(path: Path, text: str) -> None:
    """Write a file atomically."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.rename(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
