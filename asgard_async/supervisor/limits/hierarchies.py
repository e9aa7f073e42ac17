"""The control group hierarchies of this machine in which this process may make groups.

See cgroups(7). A machine has version 2's alone, or version 1's with a controller or two each, and
perhaps version 2's without any beside them.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONTROLLERS = frozenset({"memory", "cpu", "cpuacct", "pids", "freezer"})
"""Those that serve. In version 2 all hierarchies account for CPU time and can be frozen."""
LEAF = "service"
"""Where the service goes in version 2, as DelegateSubgroup= in its unit says: a group that gives
controllers to groups below it holds no processes itself."""


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """A place for groups in one hierarchy."""

    version: int
    directory: Path
    """Of the group that this process is in; in version 2, of the one above its leaf."""
    own: Path
    """Of the group that this process is in, leaf or not."""
    controllers: frozenset[str]


def find(proc: Path = Path("/proc/self")) -> Sequence[Hierarchy]:
    """The hierarchies that can be written, version 2 first; changes nothing."""
    own = _own_groups((proc / "cgroup").read_text())
    found = []
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mounted_at = (_unescaped(part) for part in before.split()[3:5])
        kind, _, options = after.split(maxsplit=2)
        if kind == "cgroup2":
            names = frozenset({""})
        elif kind == "cgroup":
            names = CONTROLLERS & {*options.split(",")}
        else:
            continue
        path = next((own[name] for name in names if name in own), None)
        if path is None or (directory := _below(Path(mounted_at), root, path)) is None:
            continue
        own_directory = directory
        if kind == "cgroup2":
            directory = directory.parent if directory.name == LEAF else directory
            names = CONTROLLERS & {*_words(directory / "cgroup.controllers")}
        if os.access(directory, os.W_OK) and os.access(directory / "cgroup.procs", os.W_OK):
            version = 2 if kind == "cgroup2" else 1
            found.append(
                Hierarchy(
                    version=version, directory=directory, own=own_directory, controllers=names
                )
            )
    # One may be mounted twice. All hierarchies have the same inode numbers, so by device, too.
    once = {_identity(one.directory): one for one in found}
    return sorted(once.values(), key=lambda one: -one.version)


def _identity(directory: Path) -> tuple[int, int]:
    status = directory.stat()
    return status.st_dev, status.st_ino


def memory_limit(hierarchy: Hierarchy) -> int | None:
    """How much memory this process and its like may use there; None for no limit."""
    limits = []
    for directory in (hierarchy.directory, *hierarchy.directory.parents):
        limits += [int(word) for word in _words(directory / "memory.max") if word.isdigit()]
    stat = _words(hierarchy.directory / "memory.stat")
    if "hierarchical_memory_limit" in stat:
        limits.append(int(stat[stat.index("hierarchical_memory_limit") + 1]))
    return min(limits, default=None)


def give_controllers(hierarchy: Hierarchy) -> frozenset[str]:
    """Have a group of version 2 give its controllers to those below it; those that it gives.

    The service moves into a group of its own for that, where it is alone in its present one.
    """
    directory, given = hierarchy.directory, set()
    is_root = not (directory / "cgroup.type").exists()
    if hierarchy.controllers and not is_root:
        _step_down(directory)
    for controller in sorted(hierarchy.controllers):
        with contextlib.suppress(OSError):  # EBUSY: others are in the group, too
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")
            given.add(controller)
    return frozenset(given)


def _step_down(directory: Path) -> None:
    if _words(directory / "cgroup.procs") != [str(os.getpid())]:
        return
    with contextlib.suppress(OSError):
        (directory / LEAF).mkdir(exist_ok=True)
        (directory / LEAF / "cgroup.procs").write_text(str(os.getpid()))


def _own_groups(text: str) -> dict[str, str]:
    """The path of this process' group by controller; version 2's by an empty name."""
    own = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), path))
    return own


def _below(mounted_at: Path, root: str, path: str) -> Path | None:
    """Where a group is seen, of whose hierarchy `root` is mounted; None if it is not below that."""
    relative = os.path.relpath(path, root)
    return None if relative.startswith("..") else mounted_at / relative


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
