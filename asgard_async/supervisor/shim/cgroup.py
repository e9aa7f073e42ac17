"""The control group of an attempt: made before its job, read and killed after it.

It is a directory in each hierarchy that serves: version 2's, and those of version 1. What the
files are called tells the version, so a group is the list of its directories alone. Keeper and
shim stay outside, where no limit of the job's meets them.
"""

import errno
import os
import signal
import time
from typing import TypedDict

FILE = "cgroup"
"""In the attempt's directory: the group's directories, one on a line."""
KILL_SECONDS = 0.01
"""Between two rounds of killing what the kernel has not yet taken apart."""
HUGE_PAGE = 2 << 20
"""What is refused at once at most: so far below its limit a group may be that has reached it."""
REMOVE_SECONDS = 2.0
"""How long a group without processes is waited for; the service removes what stays."""


class Cgroup(TypedDict):
    """A group that is to be made."""

    directories: "list[str]"
    settings: "list[tuple[str, str]]"
    """Files, by their whole path, and what is written to them."""


def make(attempt: str, cgroup: Cgroup) -> None:
    """Make the group; noted first, so that it is found whoever dies meanwhile.

    Raises:
        OSError: it cannot be made, or does not take its limits.
    """
    # not made durable: after a reboot there is no group either
    with open(os.path.join(attempt, FILE), "w") as file:
        file.write("".join(f"{directory}\n" for directory in cgroup["directories"]))
    for directory in cgroup["directories"]:
        os.mkdir(directory, 0o755)
    for path, value in cgroup["settings"]:
        with open(path, "w") as file:
            file.write(value)


def open_procs_fds(directories: "list[str]") -> "list[int]":
    """Descriptors for `enter`, to be opened while this process may."""
    return [
        os.open(os.path.join(directory, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)
        for directory in directories
    ]


def enter(procs_fds: "list[int]") -> None:
    """Put this process into the group. What it forks is there, too."""
    for authenticator in procs_fds:
        os.write(authenticator, b"0")


def noted(attempt: str) -> "list[str]":
    """The directories of the group that was made for an attempt, those that still are."""
    try:
        with open(os.path.join(attempt, FILE)) as file:
            directories = file.read().splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return []
    # the file lies near the job's own: only what bears the attempt's name is taken for its group
    name = name_of(attempt)
    return [
        directory
        for directory in directories
        if os.path.basename(directory) == name and os.path.isdir(directory)
    ]


def name_of(attempt: str) -> str:
    """What the group of an attempt is called: it lies in `<job>/attempts/<number>`, or in
    `<environment>/<number>` if it is a build."""
    above, number = os.path.split(os.path.normpath(attempt))
    if os.path.basename(above) == "attempts":
        above = os.path.dirname(above)
    return f"{os.path.basename(above)}.{number}"


# --- the end ----------------------------------------------------------------------------------


def kill(directories: "list[str]") -> None:
    """Kill everything in the group, until nothing is left in it."""
    while True:
        # by the kernel alone, where it can: a process id may be another's by now
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
    """Remove a group without processes, and those that its job has made in it."""
    until = time.monotonic() + REMOVE_SECONDS
    while True:
        busy = [directory for directory in directories if not _removed(directory)]
        if not busy or time.monotonic() > until:
            return not busy
        time.sleep(KILL_SECONDS)


def processes_in(directory: str) -> "list[int]":
    """The processes in a group and the groups below it; zombies are not."""
    pids: list[int] = []
    for folder, _, _ in os.walk(directory):
        pids += map(int, _read(os.path.join(folder, "cgroup.procs")).split())
    # 0 stands for one that this process cannot see, from within a namespace
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
        # never O_CREAT: what is no control group must not look like one
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


# --- accounts ---------------------------------------------------------------------------------


class Accounts:
    """What the kernel has counted of a group. Figures are None where it counts none."""

    def __init__(self, directories: "list[str]") -> None:
        self._directories = directories

    def peak_memory_bytes(self) -> "int | None":
        """The most that it has held at once, files that were read or written included."""
        text = self._text("memory.peak") or self._text("memory.max_usage_in_bytes")
        return int(text) if text else None

    def cpu_seconds(self) -> "float | None":
        """Time on CPUs, of everything that ever was in it."""
        if text := self._text("cpuacct.usage"):
            return int(text) / 1e9
        usage = self._fields("cpu.stat").get("usage_usec")
        return None if usage is None else usage / 1e6

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        events = {**self._fields("memory.oom_control"), **self._fields("memory.events")}
        return events.get("oom_kill", 0)

    def reached_memory_limit(self) -> bool:
        """Whether its own limit was met, and not only that of all groups together."""
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
        """Lines of a name and a number."""
        found: dict[str, int] = {}
        for directory in self._directories:
            for line in _read(os.path.join(directory, name)).splitlines():
                key, _, value = line.partition(" ")
                if value.isdigit():
                    found.setdefault(key, int(value))
        return found


def oom_notifier(directories: "list[str]") -> "int | None":
    """A descriptor that can be read when the group is short of memory, where only version 1 says.

    Version 2 needs none: it kills the whole group by itself (memory.oom.group).
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
    except OSError:  # of another hierarchy, or gone
        return ""
