"""A fork server as the service sees it: started, ready, given process specs, stopped."""

import asyncio
import marshal
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asgard_async.supervisor import shim
from asgard_async.supervisor.keeper_server import KeeperServer
from asgard_async.supervisor.processes import readable
from asgard_async.supervisor.shim.process_spec import MESSAGE_BYTES

PROGRAM = Path(shim.__file__).parent / "fork_server.py"
WARM_UP_SECONDS = 600.0


class WarmUpFailed(Exception):
    """A fork server did not become ready; the text says where to look for the cause."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts that a fork server reports when it is ready."""

    packages: frozenset[str]
    """Imported top-level packages, without the standard library."""
    modules: frozenset[str]
    """Imported top-level modules, with the standard library."""
    variables: frozenset[str]
    """Environment variables that the imports read."""
    failed: Mapping[str, str]
    """Modules that could not be imported, with the cause."""
    seconds: float
    address_space: int
    """Bytes of mapped memory."""


class ForkServer(KeeperServer):
    """A fork server of the interpreter `python`, in a directory of its own."""

    def __init__(self, python: Path, directory: Path, environment: Mapping[str, str]) -> None:
        self.python = python
        self.environment = {
            **environment,
            "HOME": str(directory / "home"),
            "TMPDIR": str(directory / "tmp"),
        }
        self._directory = directory
        self.facts: Facts | None = None
        # Scripts write to a pipe, so the stream objects are made for one: see fork_server.py.
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            super().__init__([str(python), str(PROGRAM)], self.environment, output=(writer, writer))
        finally:
            os.close(writer)
            os.close(reader)

    async def ready(self, preload: Sequence[str]) -> Facts:
        """Let it import `preload` and wait until that is done.

        Raises:
            WarmUpFailed: it exits meanwhile, or takes longer than WARM_UP_SECONDS.
        """
        log = self._directory / "server.log"
        settings = {
            "preload": list(preload),
            "log": str(log),
            "working_directory": str(self._directory / "work"),
        }
        try:
            self._channel.send(marshal.dumps(settings, 2))
            async with asyncio.timeout(WARM_UP_SECONDS):
                await readable(self._channel.fileno())
            answer = self._channel.recv(MESSAGE_BYTES)
        except OSError as error:  # also a timeout
            raise WarmUpFailed(f"{error!r}; see {log}") from error
        if not answer:
            raise WarmUpFailed(f"it exited; see {log}")
        report: dict[str, Any] = marshal.loads(answer)  # noqa: S302  # our own program
        self.facts = Facts(
            packages=frozenset(report["packages"]),
            modules=frozenset(report["modules"]),
            variables=frozenset(report["variables"]),
            failed=report["failed"],
            seconds=report["seconds"],
            address_space=report["address_space"],
        )
        return self.facts

    def private_bytes(self) -> int:
        """Return its anonymous memory in bytes; 0 if it has exited."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        found = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        return int(found[0].split()[1]) << 10 if found else 0
