"""An attempt to run a process, from the service's side: starting, finding, stopping, awaiting it.

All state is in the attempt's files (see shim/files.py). So a service that was restarted, or that
did not start the attempt itself, reaches the same result.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from asgard_async.core.files.regular import NotRegular, open_regular, read_regular
from asgard_async.domain.attempt import End, Ended, Stop
from asgard_async.domain.job import Started
from asgard_async.domain.status import ColdReason, Isolation
from asgard_async.supervisor.keeper_server import (
    Descriptors,
    KeeperServer,
    StartKeeper,
)
from asgard_async.supervisor.process_spec import MINIMAL_ENVIRONMENT, service_python
from asgard_async.supervisor.processes import ProcessIdentity, processes_running, readable
from asgard_async.supervisor.shim import files, limits, linux
from asgard_async.supervisor.shim.process_spec import ProcessSpec, encode_spec
from asgard_async.supervisor.spawn import spawn

logger = logging.getLogger(__name__)

SHIM_START = Path(__file__).parent / "shim" / "start.py"
SHIM_STARTS = (
    "asgard_async/supervisor/shim/start.py",
    "asgard_async/execution/shim/start.py",  # before the package `supervisor` existed
)
"""Path suffixes of the program in a keeper's command line. After an upgrade, keepers of an earlier
version or of another installation may still be running."""
SHIM_LOG = "shim.log"
MAX_FILE_BYTES = 1 << 20
"""Bytes of an attempt's file; the shim writes far less."""
POLL_SECONDS = 0.01
FORK_SECONDS = 20.0
"""A keeper server that takes longer than this is stuck."""


class Attempt:
    """An attempt with its `directory`, which must exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def start(self, spec: ProcessSpec, server: KeeperServer | None = None) -> datetime | None:
        """Start the shim; return when the program began to run, or None if it did not.

        With a server, the keeper is forked from it if possible; otherwise it is spawned.
        """
        if server is not None:
            started_at = None
            try:
                async with asyncio.timeout(FORK_SECONDS):
                    started_at = await self._start(spec, server.send)
            except TimeoutError:
                logger.warning("keeper server %d does not respond; killing it", server.pid)
                server.kill()
            if started_at is not None or await asyncio.to_thread(self._is_decided):
                return started_at
            # If the server did fork a keeper, the attempt's lock lets only one of them continue.
            spec.setdefault("cold_reason", ColdReason.SERVER_LOST.value)
        return await self._start(spec, partial(_spawn, spec))

    async def _start(self, spec: ProcessSpec, start_keeper: StartKeeper) -> datetime | None:
        notification, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            try:
                with self._descriptors(spec) as (spec_file, log):
                    start_keeper((spec_file, write_end, log))
            finally:
                os.close(write_end)
            await readable(notification)
            line = os.read(notification, 100)
        finally:
            os.close(notification)
        return _datetime(float(line)) if line else None

    @contextlib.contextmanager
    def _descriptors(self, spec: ProcessSpec) -> Iterator[tuple[int, int]]:
        """Open the specification and the shim's log."""
        spec_file = os.memfd_create("spec", os.MFD_CLOEXEC)
        try:
            os.write(spec_file, encode_spec(spec))
            os.lseek(spec_file, 0, os.SEEK_SET)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            log = open_regular(self.directory / SHIM_LOG, flags)
            try:
                yield spec_file, log
            finally:
                os.close(log)
        finally:
            os.close(spec_file)

    def _is_decided(self) -> bool:
        return files.is_decided(str(self.directory))

    async def wait(self) -> Ended:
        """Wait until the shim, the keeper and all other processes of the attempt have exited."""
        while (ended := await asyncio.to_thread(self._verdict)) is None:
            await self._process_gone()
        return ended

    async def stop(self) -> None:
        """Send SIGTERM to the keeper, which passes it on; do nothing if the attempt is over."""
        while await asyncio.to_thread(self._verdict) is None:
            for process in await asyncio.to_thread(self._processes):
                process.signal(signal.SIGTERM, signal.SIGCONT)  # a stopped process must wake first
                return
            await asyncio.sleep(POLL_SECONDS)

    def is_alive(self) -> bool:
        """Return whether the keeper or the shim is running."""
        return self._verdict() is None

    def started(self) -> Started | None:
        """The time and manner of the program's start, if known."""
        facts = self._read(files.PID)
        if not facts or "started_at" not in facts:
            return None
        reason = facts.get("cold_reason", ColdReason.OFF)
        is_known = reason is None or reason in set(ColdReason)
        level = facts.get("isolation")
        return Started(
            at=_datetime(facts["started_at"]),
            cold_reason=(ColdReason(reason) if reason else None) if is_known else ColdReason.OFF,
            isolation=Isolation(level) if level in set(Isolation) else None,
        )

    # --- files ----------------------------------------------------------------------------

    def _verdict(self) -> Ended | None:
        """Return how the attempt ended; None while it is running.

        If the attempt was never started, this decides that it never will be. Jobs and people can
        delete or damage the attempt's files; it is then lost, but only once its processes are gone.
        """
        try:
            lock = files.try_lock(str(self.directory))
        except FileNotFoundError:  # the whole directory is gone
            return None if self._processes() else Ended(end=End.LOST)
        if lock is None:
            return None
        try:
            if not self._path(files.EXIT).exists() and self._processes():
                return None  # they hold a deleted lock file, or are about to take this lock
            limits.clear(str(self.directory))  # needed if both keeper and shim were killed
            if (facts := self._read(files.EXIT)) is not None:
                ended = _ended(facts, self.started())
                return replace(ended, stopped_by_shutdown=self._stopped_by_shutdown(ended))
            if self._path(files.PID).exists():
                return Ended(end=End.LOST, started=self.started())
            # written under the lock, so a shim that starts later finds it and exits
            files.write_durably(
                str(self.directory), files.EXIT, files.to_json({"how": "not_started"})
            )
            return Ended(end=End.NOT_STARTED)
        finally:
            os.close(lock)

    def _stopped_by_shutdown(self, ended: Ended) -> bool:
        """Return whether the attempt was stopped before the machine restarted.

        An orderly shutdown sends SIGTERM to all processes: shims stop their programs as on request,
        unless the programs have ended by then.
        """
        if ended.end is not End.EXITED:
            return False
        if ended.stop is not Stop.REQUESTED and ended.signal != signal.SIGTERM:
            return False
        facts = self._read(files.PID) or {}
        return bool(facts.get("boot_id", linux.boot_id()) != linux.boot_id())

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _read(self, name: str) -> dict[str, Any] | None:
        """Read a file; return None if it does not exist, an empty dictionary if it is invalid."""
        try:
            content = read_regular(self._path(name), max_bytes=MAX_FILE_BYTES)
            return msgspec.json.decode(content, type=dict[str, Any])
        except FileNotFoundError:
            return None
        except (NotRegular, msgspec.MsgspecError) as error:
            logger.warning("%s is not a file written by the shim: %s", self._path(name), error)
            return {}

    # --- processes ------------------------------------------------------------------------

    async def _process_gone(self) -> None:
        for process in await asyncio.to_thread(self._processes):
            if await process.gone():
                return
        # The lock's holder exits within microseconds, but there is no process to wait for.
        await asyncio.sleep(POLL_SECONDS)

    def _processes(self) -> Sequence[ProcessIdentity]:
        """Find the running keeper and shim by the attempt's files, or else by command line."""
        candidates = [self._keeper(), self._shim()]
        running = [process for process in candidates if process is not None and process.is_alive()]
        return running or processes_running(SHIM_STARTS, str(self.directory))

    def _keeper(self) -> ProcessIdentity | None:
        with contextlib.suppress(FileNotFoundError, NotRegular, ValueError):
            content = read_regular(self._path(files.LOCK), max_bytes=MAX_FILE_BYTES)
            pid, start_time, boot_id = content.decode().split()
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
    command = service_python(SHIM_START, spec["directory"])
    inherited = dict(enumerate(descriptors)) | {fd: fd for fd in spec["inherit"]}
    spawn(command, MINIMAL_ENVIRONMENT, inherited)


def _datetime(seconds: float) -> datetime:
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
            ended_at=_datetime(facts["ended_at"]),
            peak_memory_bytes=facts["peak_memory_bytes"],
            cpu_seconds=facts["cpu_seconds"],
            oom_kills=facts.get("oom_kills", 0),  # absent from files of an older shim
            reached_memory_limit=bool(facts.get("reached_memory_limit", False)),
        )
    except KeyError:
        return Ended(end=End.LOST, started=started)
