"""The service's side of a checking process: length-prefixed requests and answers."""

import asyncio
import contextlib
import marshal
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asgard_async.supervisor.process_spec import service_python
from asgard_async.supervisor.processes import readable
from asgard_async.supervisor.spawn import spawn

CPU_CLOCK = 2
"""The kind of another process's clock in its number (clock_getcpuclockid(3))."""


@dataclass(frozen=True, kw_only=True)
class CheckingProcess:
    """A process that answers requests on a socket, from `start` to `kill`."""

    pid: int
    pidfd: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, program: Path) -> "CheckingProcess":
        """Start a program that serves requests."""
        own_end, child_end = socket.socketpair()
        with child_end:
            pid, pidfd = _spawn(program, child_end.fileno())
        reader, writer = await asyncio.open_connection(sock=own_end)
        return cls(pid=pid, pidfd=pidfd, reader=reader, writer=writer)

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used; 0 once it has exited."""
        clock = ~self.pid << 3 | CPU_CLOCK
        with contextlib.suppress(OSError):
            return time.clock_gettime(clock)
        return 0.0

    async def ask(self, request: bytes) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises:
            asyncio.IncompleteReadError, ConnectionError: the process exited before it answered.
        """
        self.writer.write(len(request).to_bytes(8, "big") + request)
        await self.writer.drain()
        length = int.from_bytes(await self.reader.readexactly(8), "big")
        answer: dict[str, Any] = marshal.loads(  # noqa: S302  # from Asgard's own program
            await self.reader.readexactly(length)
        )
        return answer

    async def kill(self) -> None:
        """Kill the process and wait until it has exited."""
        self.writer.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        await readable(self.pidfd)
        _reap(self.pidfd)
        os.close(self.pidfd)


def _spawn(program: Path, channel: int) -> tuple[int, int]:
    """Start a program with `channel` as standard input; return its pid and a pidfd."""
    pid = spawn(service_python(program), {"LANG": "C.UTF-8"}, {0: channel})
    return pid, os.pidfd_open(pid)


def _reap(pidfd: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
