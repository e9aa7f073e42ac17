"""The files of an attempt, through which shim and service communicate.

`lock` identifies the keeper and is held (flock) while the keeper or the shim is running. `pid.json`
exists if the job may have run. `exit.json` describes how it ended. A process that holds the lock
and finds neither file may start the job, or decide that it never starts.

The names and keys of these files must not change: after an upgrade, jobs of the previous version
may still be running.
"""

import fcntl
import os

LOCK = "lock"
PID = "pid.json"
EXIT = "exit.json"


def try_lock(directory: str) -> int | None:
    """Acquire the attempt's lock; return its descriptor, or None if another process holds it."""
    lock = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def is_decided(directory: str) -> bool:
    """Return whether the attempt was started, or was ruled out."""
    return any(os.path.exists(os.path.join(directory, name)) for name in (PID, EXIT))


def write_durably(directory: str, name: str, text: str) -> None:
    """Write a file that is complete or absent, even after a power failure."""
    temporary = os.path.join(directory, f".{name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, os.path.join(directory, name))
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def to_json(facts: "dict[str, str | int | float | None]") -> str:
    """Encode a flat JSON object; importing json would delay every cold job."""
    return "{" + ", ".join(f'"{name}": {_value(value)}' for name, value in facts.items()) + "}\n"


def _value(value: "str | float | None") -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        safe = "".join(
            c if " " <= c <= "~" and c not in '"\\' else f"\\u{ord(c):04x}" for c in value
        )
        return f'"{safe}"'
    return repr(value)
