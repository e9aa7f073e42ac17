"""One fork server, as the service sees it: started, ready, sent orders, ended."""

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
    """A fork server did not become ready; the text says where to look."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a fork server tells when it is ready."""

    packages: frozenset[str]
    """What it has imported, by the names of the top level, the standard library aside."""
    modules: frozenset[str]
    """The same with the standard library."""
    variables: frozenset[str]
    """Environment variables that were read meanwhile."""
    failed: Mapping[str, str]
    """Modules that could not be imported, and why."""
    seconds: float
    address_space: int
    """Bytes that it has mapped."""


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
        # Scripts write to a pipe, and so the objects for it must be made: see fork_server.py.
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            super().__init__([str(python), str(PROGRAM)], self.environment, output=(writer, writer))
        finally:
            os.close(writer)
            os.close(reader)

    async def ready(self, preload: Sequence[str]) -> Facts:
        """Have it import `preload`, and wait for that.

        Raises:
            WarmUpFailed: it has ended instead, or takes for ever.
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
            raise WarmUpFailed(f"it has ended; see {log}")
        told: dict[str, Any] = marshal.loads(answer)  # noqa: S302  # our own program
        self.facts = Facts(
            packages=frozenset(told["packages"]),
            modules=frozenset(told["modules"]),
            variables=frozenset(told["variables"]),
            failed=told["failed"],
            seconds=told["seconds"],
            address_space=told["address_space"],
        )
        return self.facts

    def private_bytes(self) -> int:
        """Memory that is its own, not a file's; 0 when it has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        found = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        return int(found[0].split()[1]) << 10 if found else 0
