"""Fork servers, from the service's side: starting them and waiting until they are ready."""

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
    """A fork server did not become ready; the message says where to find the cause."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts that a fork server reports when it is ready."""

    packages: frozenset[str]
    """Imported top-level packages, excluding the standard library."""
    modules: frozenset[str]
    """Imported top-level modules, including the standard library."""
    variables: frozenset[str]
    """Environment variables that the imports read."""
    failed: Mapping[str, str]
    """Modules that could not be imported, with the cause."""
    seconds: float
    address_space: int
    """Bytes of mapped memory."""


class ForkServer(KeeperServer):
    """A fork server for the interpreter `python`, in its own directory."""

    def __init__(self, python: Path, directory: Path, environment: Mapping[str, str]) -> None:
        self.python = python
        self.environment = {
            **environment,
            "HOME": str(directory / "home"),
            "TMPDIR": str(directory / "tmp"),
        }
        self._directory = directory
        self.facts: Facts | None = None
        # Scripts write to pipes, so the stream objects must be created with a pipe.
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            super().__init__([str(python), str(PROGRAM)], self.environment, output=(writer, writer))
        finally:
            os.close(writer)
            os.close(reader)

    async def ready(self, preload: Sequence[str]) -> Facts:
        """Make the server import the modules `preload`, and wait until it is ready.

        Raises:
            WarmUpFailed: the server exits, or takes longer than WARM_UP_SECONDS.
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
            response = self._channel.recv(MESSAGE_BYTES)
        except OSError as error:  # includes timeouts
            raise WarmUpFailed(f"{error!r}; see {log}") from error
        if not response:
            raise WarmUpFailed(f"it exited; see {log}")
        report: dict[str, Any] = marshal.loads(response)  # noqa: S302  # our own program
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
        """Return the server's anonymous memory in bytes; 0 if it has exited."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        lines = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        return int(lines[0].split()[1]) << 10 if lines else 0
