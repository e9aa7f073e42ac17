"""A process that forks keepers, as the service sees it: started, sent orders, ended."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from asgard_async.supervisor.processes import identify, readable
from asgard_async.supervisor.shim.process_spec import SPEC

logger = logging.getLogger(__name__)

COLD_SERVER = Path(__file__).parent / "shim" / "cold_server.py"
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
"""Of keepers: nothing of the service's."""
ROOM_FOR_COMMAND_LINES = 8192
"""Bytes; longer than any path can be."""

RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)
"""What the service, or who started it, may ignore, but a job must not inherit."""

Descriptors = tuple[int, int, int]
"""A keeper's standard input (its order), output (who waits for its start) and error (its log)."""

HandOver = Callable[[Descriptors], None]
"""Has a keeper come to be, with these as its descriptors 0, 1 and 2."""


class KeeperServer:
    """A server of keepers: `command` with a socket's number and room for command lines after it.

    To be made in the service's main thread: it is killed when the thread ends that made it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, output: tuple[int, int]
    ) -> None:
        """`output` are descriptors for its standard output and error.

        Raises:
            OSError: it cannot be started.
        """
        self._command = command
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        channel = theirs.fileno()
        with theirs:
            # posix_spawn, not fork: no copy of this process's page tables
            self.pid = os.posix_spawn(
                command[0],
                [*command, str(channel), "-" * ROOM_FOR_COMMAND_LINES],
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(output, 1)),
                    (os.POSIX_SPAWN_DUP2, channel, channel),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=RESET_SIGNALS,
            )
        self._process = identify(self.pid)

    def send(self, descriptors: Descriptors) -> None:
        """Have a keeper forked. If the server cannot, the descriptors are closed, and no more."""
        try:
            socket.send_fds(self._channel, [SPEC], descriptors)
        except OSError as error:  # it has ended, or does not answer any more
            logger.warning("%s takes no order: %s", " ".join(self._command), error)

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.is_alive()

    async def ended(self) -> None:
        """Wait until it has ended. It must not have anything to say."""
        await readable(self._channel.fileno())

    def kill(self) -> None:
        """End it, also when it is stuck; `ended` then returns."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)

    def close(self) -> None:
        """End it for good; what it has forked lives on. Nobody may wait for `ended` any more."""
        self.kill()
        self._channel.close()


class ColdServers:
    """Has the one server of cold attempts, another one when it has ended.

    A keeper that is forked has its interpreter and its modules already, 30 ms that each attempt
    would pay.
    """

    def __init__(self) -> None:
        self._server: KeeperServer | None = None

    def server(self) -> KeeperServer | None:
        """The one that lives; None when none can be started.

        It need not be ready: an order waits for it.
        """
        if self._server is not None and not self._server.is_alive():
            self._server.close()
            self._server = None
        if self._server is None:
            try:
                self._server = KeeperServer(
                    [sys.executable, "-I", "-S", str(COLD_SERVER)],
                    ENVIRONMENT,
                    output=(1, 2),
                )
            except OSError as error:
                logger.warning("the server of cold attempts cannot be started: %s", error)
        return self._server

    def close(self) -> None:
        """End it; its jobs live on."""
        if self._server is not None:
            self._server.close()
            self._server = None
