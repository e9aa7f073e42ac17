"""The control group hierarchies of this machine in which this process may create groups.

See cgroups(7). A machine has either the single hierarchy of version 2, or several hierarchies of
version 1 with one or two controllers each, possibly next to a version 2 hierarchy without
controllers.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONTROLLERS = frozenset({"memory", "cpu", "cpuacct", "pids", "freezer"})
"""The controllers in use. Version 2 needs none to account for CPU time or to freeze."""
LEAF = "service"
"""The service's own group in version 2, as in DelegateSubgroup= of its unit. A group that delegates
controllers to its subgroups must not contain processes itself."""


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """A directory of one hierarchy in which groups can be created."""

    version: int
    directory: Path
    """The group of this process; in version 2, the parent of its leaf."""
    own: Path
    """The group of this process, leaf or not."""
    controllers: frozenset[str]


def find(proc: Path = Path("/proc/self")) -> Sequence[Hierarchy]:
    """Find the writable hierarchies, version 2 first, without changing them."""
    own = _own_groups((proc / "cgroup").read_text())
    hierarchies = []
    for line in (proc / "mountinfo").read_text().splitlines():
        mount, _, file_system = line.partition(" - ")
        root, mounted_at = (_unescaped(part) for part in mount.split()[3:5])
        kind, _, options = file_system.split(maxsplit=2)
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
            hierarchies.append(
                Hierarchy(
                    version=version, directory=directory, own=own_directory, controllers=names
                )
            )
    # A hierarchy may be mounted twice. Inode numbers repeat between hierarchies, devices do not.
    distinct = {_identity(hierarchy.directory): hierarchy for hierarchy in hierarchies}
    return sorted(distinct.values(), key=lambda hierarchy: -hierarchy.version)


def _identity(directory: Path) -> tuple[int, int]:
    status = directory.stat()
    return status.st_dev, status.st_ino


def memory_limit(hierarchy: Hierarchy) -> int | None:
    """Return the memory limit of a group, ancestors included; None for no limit."""
    limits = []
    for directory in (hierarchy.directory, *hierarchy.directory.parents):
        limits += [int(word) for word in _words(directory / "memory.max") if word.isdigit()]
    stat = _words(hierarchy.directory / "memory.stat")
    if "hierarchical_memory_limit" in stat:
        limits.append(int(stat[stat.index("hierarchical_memory_limit") + 1]))
    return min(limits, default=None)


def delegate_controllers(hierarchy: Hierarchy) -> frozenset[str]:
    """Delegate a version 2 group's controllers to its subgroups; return the delegated ones.

    To make this possible, the service moves to a subgroup if it is the only process in its group.
    """
    directory, delegated = hierarchy.directory, set()
    is_root = not (directory / "cgroup.type").exists()
    if hierarchy.controllers and not is_root:
        _move_to_leaf(directory)
    for controller in sorted(hierarchy.controllers):
        with contextlib.suppress(OSError):  # EBUSY: the group holds other processes
            (directory / "cgroup.subtree_control").write_text(f"+{controller}")
            delegated.add(controller)
    return frozenset(delegated)


def _move_to_leaf(directory: Path) -> None:
    if _words(directory / "cgroup.procs") != [str(os.getpid())]:
        return
    with contextlib.suppress(OSError):
        (directory / LEAF).mkdir(exist_ok=True)
        (directory / LEAF / "cgroup.procs").write_text(str(os.getpid()))


def _own_groups(text: str) -> dict[str, str]:
    """Map controllers to the paths of this process's groups; version 2 has an empty name."""
    own = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), path))
    return own


def _below(mounted_at: Path, root: str, path: str) -> Path | None:
    """Return a group's directory if `root` of its hierarchy is mounted; None if it is outside."""
    relative = os.path.relpath(path, root)
    return None if relative.startswith("..") else mounted_at / relative


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
