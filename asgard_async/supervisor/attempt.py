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
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from asgard_async.domain.attempt import End, Ended, Stop
from asgard_async.domain.job import Started
from asgard_async.domain.status import ColdReason, Isolation
from asgard_async.supervisor.keeper_server import (
    ENVIRONMENT,
    RESET_SIGNALS,
    Descriptors,
    HandOver,
    KeeperServer,
)
from asgard_async.supervisor.processes import ProcessIdentity, processes_called, readable
from asgard_async.supervisor.shim import files, limits
from asgard_async.supervisor.shim.process_spec import ProcessSpec, encode_spec

logger = logging.getLogger(__name__)

SHIM_START = Path(__file__).parent / "shim" / "start.py"
SHIM_LOG = "shim.log"
NOT_YET_SECONDS = 0.01
FORK_SECONDS = 20.0
"""A server of keepers that takes longer is stuck."""


class Attempt:
    """The attempt that lives in `directory`, which must exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def start(self, spec: ProcessSpec, server: KeeperServer | None = None) -> datetime | None:
        """Start the shim; when the program began to run, or None when it did not.

        With a server the keeper is forked from it, if it still can; else it is spawned.
        """
        if server is not None:
            begun = None
            try:
                async with asyncio.timeout(FORK_SECONDS):
                    begun = await self._start(spec, server.send)
            except TimeoutError:
                logger.warning("server %d of keepers does not answer and is ended", server.pid)
                server.kill()
            if begun is not None or await asyncio.to_thread(self._is_decided):
                return begun
            # Should a keeper have been forked after all, the attempt's lock lets one of the two on.
            spec.setdefault("cold_reason", ColdReason.SERVER_LOST.value)
        return await self._start(spec, partial(_spawn, spec))

    async def _start(self, spec: ProcessSpec, hand_over: HandOver) -> datetime | None:
        notification, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            try:
                with self._descriptors(spec) as (order_file, log):
                    hand_over((order_file, write_end, log))
            finally:
                os.close(write_end)
            await readable(notification)
            line = os.read(notification, 100)
        finally:
            os.close(notification)
        return _moment(float(line)) if line else None

    @contextlib.contextmanager
    def _descriptors(self, spec: ProcessSpec) -> Iterator[tuple[int, int]]:
        """The order, and the shim's own log."""
        order_file = os.memfd_create("order", os.MFD_CLOEXEC)
        try:
            os.write(order_file, encode_spec(spec))
            os.lseek(order_file, 0, os.SEEK_SET)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            log = os.open(self.directory / SHIM_LOG, flags, 0o600)
            try:
                yield order_file, log
            finally:
                os.close(log)
        finally:
            os.close(order_file)

    def _is_decided(self) -> bool:
        return files.is_decided(str(self.directory))

    async def wait(self) -> Ended:
        """Wait until shim and keeper are gone, and with them all processes of the attempt."""
        while (ended := await asyncio.to_thread(self._verdict)) is None:
            await self._process_gone()
        return ended

    async def stop(self) -> None:
        """Send SIGTERM to the keeper, which passes it on; nothing when the attempt is over."""
        while await asyncio.to_thread(self._verdict) is None:
            for process in await asyncio.to_thread(self._processes):
                process.signal(signal.SIGTERM, signal.SIGCONT)  # a stopped one would not see it
                return
            await asyncio.sleep(NOT_YET_SECONDS)

    def is_alive(self) -> bool:
        """Whether keeper or shim lives."""
        return self._verdict() is None

    def started(self) -> Started | None:
        """When and how the program began to run, as far as is known."""
        facts = self._read(files.PID)
        if not facts or "started_at" not in facts:
            return None
        reason = facts.get("cold_reason", ColdReason.OFF)
        known = reason is None or reason in set(ColdReason)
        level = facts.get("isolation")
        return Started(
            at=_moment(facts["started_at"]),
            cold_reason=(ColdReason(reason) if reason else None) if known else ColdReason.OFF,
            isolation=Isolation(level) if level in set(Isolation) else None,
        )

    # --- files ----------------------------------------------------------------------------

    def _verdict(self) -> Ended | None:
        """How the attempt ended, deciding it if nobody has; None while it lives.

        The files lie beside the job's own, and a job or a person may remove or spoil them: then
        it is lost, but not before its processes are gone.
        """
        try:
            lock = files.try_lock(str(self.directory))
        except FileNotFoundError:  # the whole directory
            return None if self._processes() else Ended(end=End.LOST)
        if lock is None:
            return None
        try:
            if not self._path(files.EXIT).exists() and self._processes():
                return None  # they hold the lock of a file that was removed, or will soon
            limits.clear(str(self.directory))  # what both guardians left, were they killed
            if (facts := self._read(files.EXIT)) is not None:
                return _ended(facts, self.started())
            if self._path(files.PID).exists():
                return Ended(end=End.LOST, started=self.started())
            # under the lock: a shim that comes late finds this and starts nothing
            files.write_durably(
                str(self.directory), files.EXIT, files.to_json({"how": "not_started"})
            )
            return Ended(end=End.NOT_STARTED)
        finally:
            os.close(lock)

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _read(self, name: str) -> dict[str, Any] | None:
        """The facts in a file; none of them (but not None) where it cannot be understood."""
        try:
            return msgspec.json.decode(self._path(name).read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            return None
        except (IsADirectoryError, msgspec.MsgspecError) as error:
            logger.warning("%s is not as the shim writes it: %s", self._path(name), error)
            return {}

    # --- processes ------------------------------------------------------------------------

    async def _process_gone(self) -> None:
        for process in await asyncio.to_thread(self._processes):
            if await process.gone():
                return
        # Held by a process that is about to vanish: a matter of microseconds, with nothing to
        # wait on.
        await asyncio.sleep(NOT_YET_SECONDS)

    def _processes(self) -> Sequence[ProcessIdentity]:
        """Keeper and shim, those that live: by their files, without which by their name."""
        known = [self._keeper(), self._shim()]
        alive = [process for process in known if process is not None and process.is_alive()]
        return alive or processes_called(str(SHIM_START), str(self.directory))

    def _keeper(self) -> ProcessIdentity | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid, start_time, boot_id = self._path(files.LOCK).read_text().split()
            return ProcessIdentity(pid=int(pid), start_time=int(start_time), boot_id=boot_id)
        return None

    def _shim(self) -> ProcessIdentity | None:
        with contextlib.suppress(KeyError):
            facts = self._read(files.PID) or {}
            return ProcessIdentity(
                pid=facts["shim_pid"], start_time=facts["shim_start_time"], boot_id=facts["boot_id"]
            )
        return None


def _spawn(spec: ProcessSpec, descriptors: Descriptors) -> None:
    # posix_spawn, not fork: no copy of this process's page tables
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(SHIM_START), spec["directory"]],
        ENVIRONMENT,
        file_actions=[
            *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(descriptors)),
            *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in spec["inherit"]),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=RESET_SIGNALS,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _ended(facts: dict[str, Any], started: Started | None) -> Ended:
    try:
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
            started=started,
            ended_at=_moment(facts["ended_at"]),
            peak_memory_bytes=facts["peak_memory_bytes"],
            cpu_seconds=facts["cpu_seconds"],
            oom_kills=facts.get("oom_kills", 0),  # absent in what an older shim wrote
            reached_memory_limit=bool(facts.get("reached_memory_limit", False)),
        )
    except KeyError:
        return Ended(end=End.LOST, started=started)
