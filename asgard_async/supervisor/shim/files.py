"""The files of an attempt, through which shim and service speak to each other.

`lock` is held (flock) as long as keeper or shim lives and names the keeper. `pid.json` says that
the job may have run. `exit.json` says how it ended. Whoever holds the lock and finds neither file
may still start the job, or rule that nobody ever will.
"""

import fcntl
import os

LOCK = "lock"
PID = "pid.json"
EXIT = "exit.json"


def try_lock(directory: str) -> int | None:
    """Take the attempt's lock; its descriptor, or None while somebody else holds it."""
    lock = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def is_decided(directory: str) -> bool:
    """Whether the attempt was started, or ruled out, before."""
    return any(os.path.exists(os.path.join(directory, name)) for name in (PID, EXIT))


def write_durably(directory: str, name: str, text: str) -> None:
    """Write a file that is whole or absent, also after a power cut."""
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
    """A flat JSON object; see the package for why not with json."""
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
