"""The service's side of checking: a small pool of processes, each with a deadline per script."""

import asyncio
import contextlib
import logging
import marshal
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asgard_async.execution.watch import readable
from asgard_async.jobs.errors import InvalidSubmission

logger = logging.getLogger(__name__)

COMPILER = Path(__file__).parent / "compiler.py"
PROCESSES = 2


class ScriptChecker:
    """Says whether a script compiles, and what it imports."""

    def __init__(self, *, deadline_seconds: float) -> None:
        self._deadline = deadline_seconds
        self._slots = asyncio.Semaphore(PROCESSES)
        self._idle: list[_Process] = []

    async def imports_of(self, script: bytes) -> frozenset[str] | None:
        """The top-level packages that `script` imports; None for one too large to look.

        Raises:
            InvalidSubmission: it does not compile, or not in time.
        """
        async with self._slots:
            answer = await self._ask(script)
        if answer is None:
            raise InvalidSubmission(
                {
                    "script_content": [
                        f"The script could not be compiled in {self._deadline:g} s; simplify it."
                    ]
                }
            )
        if "error" in answer:
            raise InvalidSubmission({"script_content": [answer["error"]]})
        return None if answer["imports"] is None else frozenset(answer["imports"])

    async def _ask(self, script: bytes) -> dict[str, Any] | None:
        # an idle process may have been killed unnoticed; a fresh one that dies has met its script
        while self._idle:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                return await self._ask_process(self._idle.pop(), script)
        try:
            return await self._ask_process(await _Process.start(), script)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            logger.warning("a script ended the process that compiled it: %r", error)
            return None

    async def _ask_process(self, process: "_Process", script: bytes) -> dict[str, Any] | None:
        answer: dict[str, Any] = {"last": True}
        try:
            async with asyncio.timeout(self._deadline):
                answer = await process.ask(script)
        except TimeoutError:
            logger.warning("a script took too long to compile")
            return None
        finally:
            if answer["last"]:
                await process.end()
            else:
                self._idle.append(process)
        return answer

    async def close(self) -> None:
        """End the processes."""
        while self._idle:
            await self._idle.pop().end()


@dataclass(frozen=True, kw_only=True)
class _Process:
    pidfd: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls) -> "_Process":
        ours, theirs = socket.socketpair()
        with theirs:
            pidfd = _spawn(theirs.fileno())
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(pidfd=pidfd, reader=reader, writer=writer)

    async def ask(self, script: bytes) -> dict[str, Any]:
        self.writer.write(len(script).to_bytes(8, "big") + script)
        await self.writer.drain()
        length = int.from_bytes(await self.reader.readexactly(8), "big")
        answer: dict[str, Any] = marshal.loads(  # noqa: S302  # from our own program
            await self.reader.readexactly(length)
        )
        return answer

    async def end(self) -> None:
        self.writer.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        await readable(self.pidfd)
        _reap(self.pidfd)
        os.close(self.pidfd)


def _spawn(channel: int) -> int:
    """Start a checking process on `channel`; its pidfd."""
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(COMPILER)],
        {"LANG": "C.UTF-8"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, channel, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )
    return os.pidfd_open(pid)


def _reap(pidfd: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
