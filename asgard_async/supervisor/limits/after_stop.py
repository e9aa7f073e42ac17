"""Makes room for the next service process in the control group of its systemd unit.

`python -m asgard_async.supervisor.limits.after_stop`, run by the unit after the service has ended.
Before version 254, systemd starts a service in the unit's own group. The kernel refuses that while
the group delegates controllers to subgroups, which it does as long as a job of the previous process
runs. This program takes the controllers back; the next service process delegates them again and
restores the limits of running jobs (`restore`). In the meantime those jobs have no limits, and the
memory that they used before then no longer counts.

It cannot run before the start instead: systemd starts such programs in the same group.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

CONTROL = ".control"
"""The subgroup in which systemd runs such programs, in a unit that delegates its group."""
FIRST_WITH_SUBGROUPS = 254
"""The first version of systemd with DelegateSubgroup=, which needs none of this."""
LIMITS = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max")
SAVED = "user.asgard.limits"
"""An extended attribute of a group: its limits."""


def main() -> None:
    """Take controllers back if this systemd requires it."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    if Path(own).name == CONTROL and _systemd_version() < FIRST_WITH_SUBGROUPS:
        for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            take_back(Path(mount, own.strip("/")).parent)


def take_back(unit: Path) -> None:
    """Disable the controllers that a unit's group delegates, after saving its jobs' limits."""
    if not _delegated(unit):
        return
    for parent in _subgroups(unit):
        if controllers := _delegated(parent):
            for group in (parent, *_subgroups(parent)):
                _save(group)
            _disable(parent, controllers)
    _disable(unit, _delegated(unit))


def restore(parent: Path) -> None:
    """Write the saved limits of the groups below `parent` again."""
    for group in _subgroups(parent):
        try:
            saved = json.loads(os.getxattr(group, SAVED))
        except OSError:
            continue  # nothing was saved, or the job has ended
        for name, value in saved.items():
            # a limit below the present usage is refused, or the job has ended
            with contextlib.suppress(OSError):
                (group / name).write_text(value)
        with contextlib.suppress(OSError):
            os.removexattr(group, SAVED)


def _save(group: Path) -> None:
    limits = {}
    for name in LIMITS:
        with contextlib.suppress(OSError):
            limits[name] = (group / name).read_text().strip()
    with contextlib.suppress(OSError):
        os.setxattr(group, SAVED, json.dumps(limits).encode())


def _delegated(group: Path) -> list[str]:
    try:
        return (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return []


def _disable(group: Path, controllers: list[str]) -> None:
    for controller in controllers:
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"-{controller}")


def _subgroups(group: Path) -> Iterator[Path]:
    return (path for path in sorted(group.iterdir()) if path.is_dir())


def _systemd_version() -> int:
    """Return the number after "systemd"; 0 if it is unknown."""
    try:
        command = ["systemctl", "--version"]
        words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        return int(words[1])
    except (OSError, IndexError, ValueError):
        return 0


if __name__ == "__main__":
    main()
