"""Limits of a job: rlimits, its control group, and the size of its directories."""

import os
import resource
import time
from typing import NotRequired, TypedDict

from . import cgroup, linux
from .disk import DiskWatch

OOM_CHECK_SECONDS = 0.02
OOM_CHECKS = 100
"""Number of checks for a killed process. The kernel reports that memory ran out just before it
kills; it may also not kill at all."""


class Limits(TypedDict):
    """Limits of one attempt; 0 means none."""

    open_files: int
    """RLIMIT_NOFILE of each process."""
    processes: int
    """RLIMIT_NPROC, which counts all processes of the user; used without a control group."""
    file_bytes: int
    """RLIMIT_FSIZE, the maximum size of each file."""
    directory_bytes: int
    """The total size of `directories`."""
    directories: list[str]
    caches: list[str]
    """Directories of which only the growth counts."""
    cgroup: NotRequired[cgroup.Cgroup]


def restrict(limits: Limits) -> None:
    """Set the rlimits of this process and all processes that it starts."""
    for kind, limit in (
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
    ):
        if limit:
            # never above this process's own limits; a lower soft limit stays unchanged
            soft, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (_least(limit, soft), _least(limit, hard)))


def _least(limit: int, old: int) -> int:
    return limit if old == resource.RLIM_INFINITY else min(limit, old)


class LimitMonitor:
    """Enforces the limits of an attempt that the kernel does not enforce by itself."""

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
        self._oom_checks = 0
        self.notifier: int | None = None
        """Descriptor that becomes readable when memory runs out; call `on_memory_pressure` then."""
        self.procs_fds: list[int] = []
        """Descriptors with which the job's process enters its group."""

    def prepare(self) -> None:
        """Create the group.

        Raises:
            OSError: the group cannot be created.
        """
        if self._cgroup is not None:
            cgroup.make(self._attempt, self._cgroup)
            self.notifier = cgroup.oom_notifier(self._directories)
            self.procs_fds = cgroup.open_procs_fds(self._directories)

    def close_procs_fds(self) -> None:
        """Close this process's copies of the descriptors, once the job's process is forked."""
        for procs_fd in self.procs_fds:
            os.close(procs_fd)

    @property
    def due(self) -> "float | None":
        """The time at which to call `check` next (monotonic)."""
        if self._oom_checks:
            return time.monotonic() + OOM_CHECK_SECONDS
        return self._disk.due if self._disk is not None else None

    def on_memory_pressure(self) -> None:
        """Start to check for killed processes, for a limited time."""
        assert self.notifier is not None  # noqa: S101
        os.read(self.notifier, 8)
        self._oom_checks = OOM_CHECKS

    def check(self) -> "str | None":
        """Return the exceeded limit, "memory" or "disk", if the job must be killed."""
        if self._oom_checks:
            self._oom_checks -= 1
            if self._accounts.oom_kills():
                self._oom_checks = 0
                return "memory"
        if self._disk is not None and time.monotonic() >= self._disk.due and self._disk.check():
            self._disk = None
            return "disk"
        return None

    def kill(self) -> None:
        """Kill all processes in the group."""
        cgroup.kill(self._directories)

    def remove(self) -> None:
        """Remove the empty group."""
        cgroup.remove(self._directories)

    def facts(
        self, usage: "resource.struct_rusage | None"
    ) -> "dict[str, str | int | float | None]":
        """Return the resources that the job has used, for exit.json.

        The values come from the control group; without one, only reaped processes count.
        """
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
    """Kill the processes in an attempt's group, if there is one, and remove the group."""
    if directories := cgroup.recorded(attempt):
        cgroup.kill(directories)
        cgroup.remove(directories)
