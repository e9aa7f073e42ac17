"""The control group of an attempt: created before its job, measured and killed after it.

It has one directory in each hierarchy in use: version 2's, and those of version 1. The names of
the files tell the versions apart, so a list of directories is enough to describe a group. Keeper
and shim stay outside, where the job's limits do not apply.
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
"""The time that an empty group gets to disappear; the service removes it later if it does not."""


class Cgroup(TypedDict):
    """A group to be created."""

    directories: "list[str]"
    settings: "list[tuple[str, str]]"
    """Absolute paths of files, and the values written to them."""


def make(attempt: str, cgroup: Cgroup) -> None:
    """Create the group, and record it first, so that it can be found whoever dies meanwhile.

    Raises:
        OSError: the group cannot be created, or the kernel refuses its limits.
    """
    # not durable: the group does not survive a reboot either
    with open(os.path.join(attempt, FILE), "w") as file:
        file.write("".join(f"{directory}\n" for directory in cgroup["directories"]))
    for directory in cgroup["directories"]:
        os.mkdir(directory, 0o755)
    for path, value in cgroup["settings"]:
        with open(path, "w") as file:
            file.write(value)


def open_procs_fds(directories: "list[str]") -> "list[int]":
    """Descriptors for `enter`, opened while this process still has permission."""
    return [
        os.open(os.path.join(directory, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)
        for directory in directories
    ]


def enter(procs_fds: "list[int]") -> None:
    """Move this process, and so all its later children, into the group."""
    for procs_fd in procs_fds:
        os.write(procs_fd, b"0")


def recorded(attempt: str) -> "list[str]":
    """The existing directories of the group that was created for an attempt."""
    try:
        with open(os.path.join(attempt, FILE)) as file:
            directories = file.read().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    # the file lies beside the job's own, so only groups with the attempt's name are accepted
    name = name_of(attempt)
    return [
        directory
        for directory in directories
        if os.path.basename(directory) == name and os.path.isdir(directory)
    ]


def name_of(attempt: str) -> str:
    """The name of an attempt's group.

    The attempt's directory is `<job>/attempts/<number>`, or `<environment>/<number>` for a build.
    """
    above, number = os.path.split(os.path.normpath(attempt))
    if os.path.basename(above) == "attempts":
        above = os.path.dirname(above)
    return f"{os.path.basename(above)}.{number}"


# --- removal ---------------------------------------------------------------------------------


def kill(directories: "list[str]") -> None:
    """Kill the processes in the group until none is left."""
    while True:
        # preferably by the kernel: a process id may have passed to another process by now
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
    """The processes in a group and its subgroups, zombies excluded."""
    pids: list[int] = []
    for folder, _, _ in os.walk(directory):
        pids += map(int, _read(os.path.join(folder, "cgroup.procs")).split())
    # 0 stands for a process outside of this one's pid namespace
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
        # never O_CREAT: an ordinary directory must not come to look like a control group
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
    """The kernel's accounting of a group; a figure is None if the kernel does not keep it."""

    def __init__(self, directories: "list[str]") -> None:
        self._directories = directories

    def peak_memory_bytes(self) -> "int | None":
        """Peak memory, page cache included."""
        text = self._text("memory.peak") or self._text("memory.max_usage_in_bytes")
        return int(text) if text else None

    def cpu_seconds(self) -> "float | None":
        """CPU time of all processes that were ever in the group."""
        if text := self._text("cpuacct.usage"):
            return int(text) / 1e9
        usage = self._fields("cpu.stat").get("usage_usec")
        return None if usage is None else usage / 1e6

    def oom_kills(self) -> int:
        """The number of processes that the kernel killed because memory ran out."""
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
        found: dict[str, int] = {}
        for directory in self._directories:
            for line in _read(os.path.join(directory, name)).splitlines():
                key, _, value = line.partition(" ")
                if value.isdigit():
                    found.setdefault(key, int(value))
        return found


def oom_notifier(directories: "list[str]") -> "int | None":
    """A descriptor that becomes readable when the group runs out of memory; version 1 only.

    Version 2 kills the whole group by itself (memory.oom.group).
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
    except OSError:  # it belongs to another hierarchy, or is gone
        return ""
