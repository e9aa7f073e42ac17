"""Memory of processes, from the kernel's own account."""

import os
from pathlib import Path


def pss_mb(pids: set[int]) -> float:
    """Proportional set size of the processes together, in MB: shared pages are counted once
    (proc_pid_smaps(5)). Processes that are gone count nothing."""
    return sum(_pss_kb(pid) for pid in pids) / 1e3


def _pss_kb(pid: int) -> int:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in rows if row.startswith("Pss:")), 0)


def with_descendants(pid: int) -> set[int]:
    """A process and all that it has started, as far as they are still its own."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208  # names alone
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(entry))
    found, waiting = set[int](), [pid]
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += children.get(one, [])
    return found
