"""Waiting for descriptors, and for processes that need not be children of this one."""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asgard_async.supervisor.shim import linux


async def readable(descriptor: int) -> None:
    """Wait until `descriptor` can be read or has reached its end."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """Identifies a process, although pids are reused and start times repeat after a reboot."""

    pid: int
    start_time: int
    """In ticks since boot."""
    boot_id: str

    def open(self) -> int | None:
        """Open a pidfd (pidfd_open(2)) of the process; None if it is gone."""
        if self.boot_id != linux.boot_id():
            return None
        descriptor = linux.open_process(self.pid)
        if descriptor is None:
            return None
        # compared after opening: from here on the pid cannot pass to another process
        if linux.start_time(self.pid) == self.start_time:
            return descriptor
        os.close(descriptor)
        return None

    def is_alive(self) -> bool:
        """Return whether the process is running; a zombie is not."""
        descriptor = self.open()
        if descriptor is None:
            return False
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return not poll.poll(0)
        finally:
            os.close(descriptor)

    def signal(self, *numbers: signal.Signals) -> None:
        """Send signals, unless the process is gone."""
        descriptor = self.open()
        if descriptor is None:
            return
        try:
            with contextlib.suppress(ProcessLookupError):
                for number in numbers:
                    signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)

    async def gone(self) -> bool:
        """Wait for the process to exit; return False if it had already exited."""
        descriptor = self.open()
        if descriptor is None:
            return False
        try:
            await readable(descriptor)
            # if it is not a child of this process, its parent reaps it
            with contextlib.suppress(ChildProcessError):
                _reap(descriptor)
        finally:
            os.close(descriptor)
        return True


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of the process that currently has this pid."""
    start_time = linux.start_time(pid)
    if start_time is None:
        return None
    return ProcessIdentity(pid=pid, start_time=start_time, boot_id=linux.boot_id())


def processes_running(programs: Sequence[str], argument: str) -> Sequence[ProcessIdentity]:
    """Find this user's processes whose command line ends with one of `programs` and `argument`.

    `programs` are path suffixes that start at a directory. Zombies have no command line. Any other
    user can give a process this command line.
    """
    ends = tuple(os.fsencode(f"/{program}\0{argument}\0") for program in programs)
    boot_id = linux.boot_id()
    processes = []
    for pid in sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError):  # it has exited, or belongs to another user
            # a process that has replaced its command line pads it with zeros
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") + b"\0"
            if not command_line.endswith(ends):
                continue
            if _user_of(pid) != os.geteuid():
                continue
            if (start_time := linux.start_time(pid)) is not None:
                processes.append(ProcessIdentity(pid=pid, start_time=start_time, boot_id=boot_id))
    return processes


def _user_of(pid: int) -> int:
    # not the owner of its directory, which is root's if the process is not dumpable
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nUid:")[2].split(None, 1)[0])


def _reap(descriptor: int) -> None:
    os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
