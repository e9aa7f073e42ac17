"""One attempt's directory, seen from the service: start its shim, find it again, stop it, wait.

Everything is decided by the attempt's files (see shim/files.py), so a service that was restarted,
or never started the attempt itself, comes to the same result.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from asgard_async.execution.protocol import End, Ended, Stop
from asgard_async.execution.shim import files
from asgard_async.execution.shim.order import Order, encode_order
from asgard_async.execution.watch import ProcessIdentity, readable

logger = logging.getLogger(__name__)

SHIM_START = Path(__file__).parent / "shim" / "start.py"
SHIM_LOG = "shim.log"
RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)
NOT_YET_SECONDS = 0.01


class Attempt:
    """The attempt that lives in `directory`, which must exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def start(self, order: Order) -> datetime | None:
        """Start the shim; when the program began to run, or None when it did not."""
        notification, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            try:
                self._spawn(order, write_end)
            finally:
                os.close(write_end)
            await readable(notification)
            line = os.read(notification, 100)
        finally:
            os.close(notification)
        return _moment(float(line)) if line else None

    def _spawn(self, order: Order, notification: int) -> None:
        order_file = os.memfd_create("order", os.MFD_CLOEXEC)
        try:
            os.write(order_file, encode_order(order))
            os.lseek(order_file, 0, os.SEEK_SET)
            log = (self.directory / SHIM_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            # posix_spawn, not fork: no copy of this process's page tables
            os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", str(SHIM_START), str(self.directory)],
                {"PATH": os.defpath, "LANG": "C.UTF-8"},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, order_file, 0),
                    (os.POSIX_SPAWN_DUP2, notification, 1),
                    (os.POSIX_SPAWN_OPEN, 2, *log),
                    *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in order["inherit"]),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=RESET_SIGNALS,
            )
        finally:
            os.close(order_file)

    async def wait(self) -> Ended:
        """Wait until shim and keeper are gone, and with them all processes of the attempt."""
        while (ended := await asyncio.to_thread(self._verdict)) is None:
            await self._process_gone()
        return ended

    async def stop(self) -> None:
        """Send SIGTERM to the keeper, which passes it on; nothing when the attempt is over."""
        while await asyncio.to_thread(self._verdict) is None:
            if (keeper := self._keeper()) is not None:
                descriptor = keeper.open()
                if descriptor is not None:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                    os.close(descriptor)
                return  # without a keeper the shim ends by itself
            await asyncio.sleep(NOT_YET_SECONDS)

    def is_alive(self) -> bool:
        """Whether keeper or shim lives."""
        return self._verdict() is None

    def started_at(self) -> datetime | None:
        """When the program began to run, as far as is known."""
        facts = self._read(files.PID)
        return _moment(facts["started_at"]) if facts else None

    # --- files ----------------------------------------------------------------------------

    def _verdict(self) -> Ended | None:
        """How the attempt ended, deciding it if nobody has; None while it lives."""
        lock = files.try_lock(str(self.directory))
        if lock is None:
            return None
        try:
            if (facts := self._read(files.EXIT)) is not None:
                return _ended(facts, self.started_at())
            if (started_at := self.started_at()) is not None:
                return Ended(end=End.LOST, started_at=started_at)
            # under the lock: a shim that comes late finds this and starts nothing
            files.write_durably(
                str(self.directory), files.EXIT, files.to_json({"how": "not_started"})
            )
            return Ended(end=End.NOT_STARTED)
        finally:
            os.close(lock)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            text = (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None
        facts: dict[str, Any] = msgspec.json.decode(text)
        return facts

    # --- processes ------------------------------------------------------------------------

    async def _process_gone(self) -> None:
        for process in (self._keeper(), self._shim()):
            if process is not None and await process.gone():
                return
        # Held by a process that has not written its name yet, or that is about to vanish: a
        # matter of microseconds, with nothing to wait on.
        await asyncio.sleep(NOT_YET_SECONDS)

    def _keeper(self) -> ProcessIdentity | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid, start_time, boot_id = (self.directory / files.LOCK).read_text().split()
            return ProcessIdentity(pid=int(pid), start_time=int(start_time), boot_id=boot_id)
        return None

    def _shim(self) -> ProcessIdentity | None:
        facts = self._read(files.PID)
        if facts is None:
            return None
        return ProcessIdentity(
            pid=facts["shim_pid"], start_time=facts["shim_start_time"], boot_id=facts["boot_id"]
        )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _ended(facts: dict[str, Any], started_at: datetime | None) -> Ended:
    if facts["how"] == "not_started":
        return Ended(end=End.NOT_STARTED)
    start_failed = facts["how"] == "start_failed"
    return Ended(
        end=End.START_FAILED if start_failed else End.EXITED,
        exit_code=None if start_failed else facts["exit_code"],
        signal=None if start_failed else facts["signal"],
        stop=Stop(facts["stop"]) if facts["stop"] else None,
        killed=bool(facts["killed"]),
        error=facts["error"],
        started_at=started_at,
        ended_at=_moment(facts["ended_at"]),
        peak_memory_bytes=facts["peak_memory_bytes"],
        cpu_seconds=facts["cpu_seconds"],
    )
