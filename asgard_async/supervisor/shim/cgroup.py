"""The control group of an attempt: created before its job, measured and killed after it.

A group has one directory in each hierarchy in use, of version 2 or version 1. The versions have
different file names, so a list of directories is enough to describe a group. The keeper and the
shim stay outside, where the job's limits do not apply.
"""

import errno
import os
import signal
import time
from typing import TypedDict

FILE = "cgroup"
"""A file in the attempt's directory with the group's directories, one per line."""
KILL_SECONDS = 0.01
"""The pause between two rounds of killing."""
HUGE_PAGE = 2 << 20
"""The largest single allocation: a group that reached its limit may use this much less."""
REMOVE_SECONDS = 2.0
"""Time limit for removing an empty group; afterwards, the service removes it."""


class Cgroup(TypedDict):
    """A group to create."""

    directories: "list[str]"
    settings: "list[tuple[str, str]]"
    """Absolute paths of files, and the values written to them."""


def make(attempt: str, cgroup: Cgroup) -> None:
    """Record the group, so that it can be found even if this process dies, and create it.

    Raises:
        OSError: the group cannot be created, or the kernel refuses its limits.
    """
    # not written durably, because the group does not survive a reboot either
    with open(os.path.join(attempt, FILE), "w") as file:
        file.write("".join(f"{directory}\n" for directory in cgroup["directories"]))
    for directory in cgroup["directories"]:
        os.mkdir(directory, 0o755)
    for path, value in cgroup["settings"]:
        with open(path, "w") as file:
            file.write(value)


def open_procs_fds(directories: "list[str]") -> "list[int]":
    """Open the descriptors for `enter`, while this process still has permission."""
    return [
        os.open(os.path.join(directory, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)
        for directory in directories
    ]


def enter(procs_fds: "list[int]") -> None:
    """Move this process into the group, and thereby its future children."""
    for procs_fd in procs_fds:
        os.write(procs_fd, b"0")


def recorded(attempt: str) -> "list[str]":
    """Return the existing directories of the group that was created for an attempt."""
    try:
        with open(os.path.join(attempt, FILE)) as file:
            directories = file.read().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    # a job may be able to change the file, so only groups with the attempt's name are accepted
    name = name_of(attempt)
    return [
        directory
        for directory in directories
        if os.path.basename(directory) == name and os.path.isdir(directory)
    ]


def name_of(attempt: str) -> str:
    """Return the name of an attempt's group.

    The attempt's directory is `<job>/attempts/<number>`, or `<environment>/<number>` for a build.
    """
    parent, number = os.path.split(os.path.normpath(attempt))
    if os.path.basename(parent) == "attempts":
        parent = os.path.dirname(parent)
    return f"{os.path.basename(parent)}.{number}"


# --- removal ---------------------------------------------------------------------------------


def kill(directories: "list[str]") -> None:
    """Kill the processes in the group until none is left."""
    while True:
        # preferably by the kernel, since a process id may be reused in the meantime
        by_kernel = [_set(os.path.join(directory, "cgroup.kill"), "1") for directory in directories]
        frozen = [directory for directory in directories if _freeze(directory, "FROZEN")]
        try:
            pids = {pid for directory in directories for pid in processes_in(directory)}
            for pid in pids if not any(by_kernel) else ():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        finally:
            for directory in frozen:
                _freeze(directory, "THAWED")
        if not pids:
            return
        time.sleep(KILL_SECONDS)


def remove(directories: "list[str]") -> bool:
    """Remove a group without processes, and the subgroups that its job created."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        busy = [directory for directory in directories if not _removed(directory)]
        if not busy or time.monotonic() > deadline:
            return not busy
        time.sleep(KILL_SECONDS)


def processes_in(directory: str) -> "list[int]":
    """Return the processes in a group and its subgroups, zombies excluded."""
    pids: list[int] = []
    for folder, _, _ in os.walk(directory):
        pids += map(int, _read(os.path.join(folder, "cgroup.procs")).split())
    # 0 means a process outside of this process's pid namespace
    return [pid for pid in pids if pid > 0]


def _removed(directory: str) -> bool:
    try:
        for folder, _, _ in os.walk(directory, topdown=False):
            os.rmdir(folder)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def _freeze(directory: str, state: str) -> bool:
    return _set(os.path.join(directory, "freezer.state"), state)


def _set(path: str, value: str) -> bool:
    try:
        # never O_CREAT, which would make an ordinary directory look like a control group
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(file, value.encode())
    except OSError:
        return False
    finally:
        os.close(file)
    return True


# --- accounting -------------------------------------------------------------------------------


class Accounts:
    """The kernel's accounting of a group; values are None if the kernel does not record them."""

    def __init__(self, directories: "list[str]") -> None:
        self._directories = directories

    def peak_memory_bytes(self) -> "int | None":
        """Return the peak memory usage, page cache included."""
        text = self._text("memory.peak") or self._text("memory.max_usage_in_bytes")
        return int(text) if text else None

    def cpu_seconds(self) -> "float | None":
        """Return the CPU time of all processes that were ever in the group."""
        if text := self._text("cpuacct.usage"):
            return int(text) / 1e9
        usage = self._fields("cpu.stat").get("usage_usec")
        return None if usage is None else usage / 1e6

    def oom_kills(self) -> int:
        """Return the number of processes that the kernel killed because memory ran out."""
        events = {**self._fields("memory.oom_control"), **self._fields("memory.events")}
        return events.get("oom_kill", 0)

    def reached_memory_limit(self) -> bool:
        """Return whether the group reached its own limit, not just that of all groups together."""
        if limit := self._text("memory.limit_in_bytes"):
            # not by memory.failcnt: newer kernels leave it at 0
            return int(limit) - (self.peak_memory_bytes() or 0) < HUGE_PAGE
        events = self._fields("memory.events.local") or self._fields("memory.events")
        return events.get("oom", 0) > 0

    def _text(self, name: str) -> str:
        for directory in self._directories:
            if text := _read(os.path.join(directory, name)):
                return text.strip()
        return ""

    def _fields(self, name: str) -> "dict[str, int]":
        """Parse lines with a name and a number."""
        fields: dict[str, int] = {}
        for directory in self._directories:
            for line in _read(os.path.join(directory, name)).splitlines():
                key, _, value = line.partition(" ")
                if value.isdigit():
                    fields.setdefault(key, int(value))
        return fields


def oom_notifier(directories: "list[str]") -> "int | None":
    """Open a descriptor that becomes readable when the group runs out of memory (version 1 only).

    In version 2, the kernel kills the whole group (memory.oom.group).
    """
    for directory in directories:
        path = os.path.join(directory, "memory.oom_control")
        try:
            control = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        notifier = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        if _set(os.path.join(directory, "cgroup.event_control"), f"{notifier} {control}"):
            os.close(control)
            return notifier
        os.close(control)
        os.close(notifier)
    return None


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # the file belongs to another hierarchy, or is gone
        return ""
