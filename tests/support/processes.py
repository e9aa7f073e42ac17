"""Searches among the machine's processes, to find those that must not remain."""

import os
from pathlib import Path


def processes_with(marker: str) -> list[int]:
    """Processes, except zombies, with `marker` in command line, environment or directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            text += bytes((entry / "cwd").readlink())
        except OSError:
            continue
        if marker.encode() in text and state_of(int(entry.name)) not in {"Z", None}:
            found.append(int(entry.name))
    return found


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
