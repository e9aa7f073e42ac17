"""Waiting for descriptors and for processes that need not be our children."""

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
    """Wait until `descriptor` can be read, or is at its end."""
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
    """A process beyond doubt: pids come round again, start times repeat after a reboot."""

    pid: int
    start_time: int
    """Ticks since boot."""
    boot_id: str

    def open(self) -> int | None:
        """A pidfd (pidfd_open(2)) of the process; None when it is gone."""
        if self.boot_id != linux.boot_id():
            return None
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        # compared after opening: from here on the pid cannot change its owner under us
        if linux.start_time(self.pid) == self.start_time:
            return descriptor
        os.close(descriptor)
        return None

    def is_alive(self) -> bool:
        """Whether it runs; a zombie that nobody reaps does not."""
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
        """Send signals, unless it is gone."""
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
        """Wait for the process to end; False when it was gone already."""
        descriptor = self.open()
        if descriptor is None:
            return False
        try:
            await readable(descriptor)
            # ours, or somebody else's to reap
            with contextlib.suppress(ChildProcessError):
                _reap(descriptor)
        finally:
            os.close(descriptor)
        return True


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this pid now."""
    start_time = linux.start_time(pid)
    if start_time is None:
        return None
    return ProcessIdentity(pid=pid, start_time=start_time, boot_id=linux.boot_id())


def processes_called(*arguments: str) -> Sequence[ProcessIdentity]:
    """Processes whose command line ends with `arguments`; zombies have none."""
    end = b"".join(b"\0" + os.fsencode(argument) for argument in arguments) + b"\0"
    boot_id = linux.boot_id()
    found = []
    for pid in sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is not ours to look at
            # one that shows another command line than it was started with fills up with zeros
            shown = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0") + b"\0"
            if not shown.endswith(end):
                continue
            if (start_time := linux.start_time(pid)) is not None:
                found.append(ProcessIdentity(pid=pid, start_time=start_time, boot_id=boot_id))
    return found


def _reap(descriptor: int) -> None:
    os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
