"""Searches among the machine's processes, to find those that must not remain."""

import os
from pathlib import Path


def processes_with(marker: str) -> list[int]:
    """Processes, except zombies, with `marker` in command line, environment or directory."""
    found = []
    wanted = os.fsencode(marker)
    # without pathlib, which takes as long as the kernel does: tests repeat this often
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):  # noqa: PTH208
        if pid == os.getpid():
            continue
        text = _content(f"/proc/{pid}/cmdline")
        # an ordinary user cannot read these of its own processes that guard their secrets
        text += _content(f"/proc/{pid}/environ") + _target(f"/proc/{pid}/cwd")
        if wanted in text and state_of(pid) not in {"Z", None}:
            found.append(pid)
    return found


def _content(file: str) -> bytes:
    try:
        with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
            return opened.read()
    except OSError:
        return b""


def _target(link: str) -> bytes:
    try:
        return os.fsencode(os.readlink(link))  # noqa: PTH115
    except OSError:
        return b""


def builds_below(data_dir: Path) -> list[int]:
    """Processes that build environments for the service with this data directory."""
    return processes_with(str(data_dir / "environments" / "builds"))


def state_of(pid: int) -> str | None:
    """The one-letter state of a process (proc(5)); None if it does not exist."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat[stat.rindex(")") + 2]
