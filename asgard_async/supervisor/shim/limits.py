"""What a job may use at most: its resource limits, its control group, its directories."""

import os
import resource
import time
from typing import NotRequired, TypedDict

from . import cgroup, linux
from .disk import DiskWatch

OOM_LOOK_SECONDS = 0.02
OOM_LOOKS = 100
"""The kernel tells that memory is short just before it kills; so many looks later it has not."""


class Limits(TypedDict):
    """Bounds of one attempt. 0 means none."""

    open_files: int
    """RLIMIT_NOFILE, of each process."""
    processes: int
    """RLIMIT_NPROC, which counts all processes of the user: for want of a control group."""
    file_bytes: int
    """RLIMIT_FSIZE, of each file."""
    directory_bytes: int
    """Of `directories` together."""
    directories: list[str]
    caches: list[str]
    """What they hold at the start does not count."""
    cgroup: NotRequired[cgroup.Cgroup]


def restrict(limits: Limits) -> None:
    """Set the resource limits of this process and all that it starts."""
    for kind, limit in (
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
    ):
        if limit:
            # never above what this process has itself; below that, the soft one stays as it is
            soft, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (_least(limit, soft), _least(limit, hard)))


def _least(limit: int, old: int) -> int:
    return limit if old == resource.RLIM_INFINITY else min(limit, old)


class Overseer:
    """Watches over one attempt's limits, as far as the kernel does not by itself."""

    def __init__(self, attempt: str, limits: "Limits | None") -> None:
        self._attempt = attempt
        self._cgroup = limits.get("cgroup") if limits is not None else None
        self._directories = self._cgroup["directories"] if self._cgroup is not None else []
        self._accounts = cgroup.Accounts(self._directories)
        self._disk = None
        if limits is not None and limits["directory_bytes"]:
            self._disk = DiskWatch(
                limits["directories"],
                limits["caches"],
                limits["directory_bytes"],
                linux.descendants,
            )
        self._oom_looks = 0
        self.notifier: int | None = None
        """Can be read when memory is short; `notified` is then to be called."""
        self.procs_fds: list[int] = []
        """For the job's process to enter its group by."""

    def prepare(self) -> None:
        """Make the group.

        Raises:
            OSError: it cannot be.
        """
        if self._cgroup is not None:
            cgroup.make(self._attempt, self._cgroup)
            self.notifier = cgroup.oom_notifier(self._directories)
            self.procs_fds = cgroup.open_procs_fds(self._directories)

    def begin(self) -> None:
        """The job's process has been forked."""
        for authenticator in self.procs_fds:
            os.close(authenticator)

    @property
    def due(self) -> "float | None":
        """When `look` is to be called next (monotonic)."""
        if self._oom_looks:
            return time.monotonic() + OOM_LOOK_SECONDS
        return self._disk.due if self._disk is not None else None

    def notified(self) -> None:
        """Memory is short: look after it for a while."""
        assert self.notifier is not None  # noqa: S101
        os.read(self.notifier, 8)
        self._oom_looks = OOM_LOOKS

    def look(self) -> "str | None":
        """What the job has too much of: "memory" or "disk". It is to be killed then."""
        if self._oom_looks:
            self._oom_looks -= 1
            if self._accounts.oom_kills():
                self._oom_looks = 0
                return "memory"
        if self._disk is not None and time.monotonic() >= self._disk.due and self._disk.look():
            self._disk = None
            return "disk"
        return None

    def kill(self) -> None:
        """Kill all that is in the group."""
        cgroup.kill(self._directories)

    def remove(self) -> None:
        """Remove the group, which is empty by now."""
        cgroup.remove(self._directories)

    def facts(
        self, usage: "resource.struct_rusage | None"
    ) -> "dict[str, str | int | float | None]":
        """What the job has used: by its group, else by what is known of the processes that
        somebody waited for."""
        peak, cpu = self._accounts.peak_memory_bytes(), self._accounts.cpu_seconds()
        if usage is not None:
            peak = usage.ru_maxrss * 1024 if peak is None else peak
            cpu = usage.ru_utime + usage.ru_stime if cpu is None else cpu
        return {
            "peak_memory_bytes": peak,
            "cpu_seconds": cpu,
            "oom_kills": self._accounts.oom_kills(),
            "reached_memory_limit": int(self._accounts.reached_memory_limit()),
        }


def clear(attempt: str) -> None:
    """Kill what is in an attempt's group, if one was made, and remove it."""
    if directories := cgroup.noted(attempt):
        cgroup.kill(directories)
        cgroup.remove(directories)
