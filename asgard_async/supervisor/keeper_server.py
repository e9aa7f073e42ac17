"""Keeper servers, which fork keepers: starting them, sending specifications, stopping them."""

import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from asgard_async.supervisor.process_spec import MINIMAL_ENVIRONMENT, service_python
from asgard_async.supervisor.processes import identify, readable
from asgard_async.supervisor.shim.process_spec import SPEC
from asgard_async.supervisor.spawn import spawn

logger = logging.getLogger(__name__)

COLD_SERVER = Path(__file__).parent / "shim" / "cold_server.py"
COMMAND_LINE_PADDING = "-" * 8192
"""Reserves space for the command lines of forked processes; longer than any path can be."""

"""Signals that a job must not ignore, although the service or its parent may ignore them."""

Descriptors = tuple[int, int, int]
"""A keeper's standard input (its specification), output (start notification) and error (log)."""

StartKeeper = Callable[[Descriptors], None]
"""Starts a keeper with these as its descriptors 0, 1 and 2."""


class KeeperServer:
    """A keeper server: `command`, followed by the number of a socket and command line padding.

    Create it in the service's main thread: it is killed when the thread that created it ends.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, output: tuple[int, int]
    ) -> None:
        """Start the server; `output` are the descriptors for its standard output and error.

        Raises:
            OSError: the server cannot be started.
        """
        self._command = command
        self._channel, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        channel = server_end.fileno()
        with server_end:
            self.pid = spawn(
                [*command, str(channel), COMMAND_LINE_PADDING],
                environment,
                dict(enumerate(output, 1)) | {channel: channel},
            )
        self._process = identify(self.pid)

    def send(self, descriptors: Descriptors) -> None:
        """Request the server to fork a keeper; if it cannot, it closes the descriptors."""
        try:
            socket.send_fds(self._channel, [SPEC], descriptors)
        except OSError as error:  # it has exited, or no longer responds
            logger.warning("cannot send a job to %s: %s", " ".join(self._command), error)

    def is_alive(self) -> bool:
        """Return whether the server is running."""
        return self._process is not None and self._process.is_alive()

    async def ended(self) -> None:
        """Wait until the server has exited. Call this only while no message from it is pending."""
        await readable(self._channel.fileno())

    def kill(self) -> None:
        """Kill the server, even if it is stuck; `ended` then returns."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill the server and close the socket; forked processes keep running.

        Call this only after all calls of `ended` have returned.
        """
        self.kill()
        self._channel.close()


class ColdServers:
    """The keeper server of cold attempts, which is replaced when it has exited.

    A forked keeper already has an interpreter with all modules, which saves 30 ms per attempt.
    """

    def __init__(self) -> None:
        self._server: KeeperServer | None = None

    def server(self) -> KeeperServer | None:
        """Return the running server, or start one; None if that fails.

        The server may not be ready yet: specifications sent to it wait until it is.
        """
        if self._server is not None and not self._server.is_alive():
            self._server.close()
            self._server = None
        if self._server is None:
            try:
                self._server = KeeperServer(
                    service_python(COLD_SERVER), MINIMAL_ENVIRONMENT, output=(1, 2)
                )
            except OSError as error:
                logger.warning("the keeper server of cold jobs cannot be started: %s", error)
        return self._server

    def close(self) -> None:
        """Stop the server; its jobs keep running."""
        if self._server is not None:
            self._server.close()
            self._server = None
