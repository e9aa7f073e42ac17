"""The listening sockets that outlive the service, so that no job can bind their ports meanwhile.

A small process keeps them open while a job or MLflow is running (see shim/socket_holder.py), and
the next service claims them from it. Sockets that systemd has passed are kept by systemd instead.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.backoff import Backoff
from asgard_async.supervisor.process_spec import MINIMAL_ENVIRONMENT, service_python
from asgard_async.supervisor.shim import socket_holder
from asgard_async.supervisor.spawn import spawn

logger = logging.getLogger(__name__)

PROGRAM = Path(socket_holder.__file__)
CLAIM_SECONDS = 10.0
LEAVE_SECONDS = 2.0
RESTARTS = Backoff()
MESSAGE_BYTES = 4096
MAX_SOCKETS = 64


class HeldSockets:
    """The listening sockets of this service, by purpose, and the process that holds them.

    `service_lock` is the locked descriptor of the data directory's lock.
    """

    def __init__(self, data: DataDirectory, *, service_lock: int) -> None:
        self._data = data
        self._service_lock = service_lock
        self._connection: socket.socket | None = None
        self._unclaimed: list[tuple[str, socket.socket]] = []
        self._held: dict[str, Sequence[socket.socket]] = {}
        self._is_serving = False
        self._restart: asyncio.TimerHandle | None = None
        self._started_at = 0.0
        self._pause: float | None = None

    def claim(self) -> None:
        """Claim the sockets of the last service, if they are still held. Blocks.

        Raises:
            ConfigError: the holder does not hand them over.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(CLAIM_SECONDS)
        try:
            with _address(self._data.socket_holder) as address:
                connection.connect(address)
            socket.send_fds(connection, [b"claim"], [self._service_lock])
            message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, MAX_SOCKETS)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            connection.close()
            return
        except OSError as error:
            connection.close()
            raise ConfigError(
                f"The process that holds the service's ports does not hand them over ({error});"
                f" end it: fuser -k {shlex.quote(str(self._data.socket_holder))}"
            ) from error
        if not message:  # it ended at this moment
            connection.close()
            return
        purposes = message.decode().split()[1:]
        sockets = [socket.socket(fileno=number) for number in descriptors]
        self._unclaimed = list(zip(purposes, sockets, strict=True))
        self._connection = connection

    def take(self, purpose: str) -> Sequence[socket.socket]:
        """Return the sockets of an earlier service; the caller must hold or close each."""
        taken = [sock for name, sock in self._unclaimed if name == purpose]
        self._unclaimed = [(name, sock) for name, sock in self._unclaimed if name != purpose]
        return taken

    def hold(self, purpose: str, sockets: Sequence[socket.socket]) -> None:
        """Keep these sockets open, instead of earlier ones of this purpose, if the service ends."""
        self._held[purpose] = sockets
        if self._connection is None:
            if not sockets:
                return
            self._start()
        with self._noticing_death():
            self._send_sockets()

    def serving(self) -> None:
        """Report that the service accepts connections: the holder stops answering them."""
        self._is_serving = True
        if self._connection is not None:
            with self._noticing_death():
                self._connection.send(b"serving")

    async def leave(self) -> None:
        """Leave the sockets to the holder, which ends now if no job is running."""
        if self._restart is not None:
            self._restart.cancel()
        connection, self._connection = self._connection, None
        for _, sock in self._unclaimed:
            sock.close()
        if connection is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(connection)
        with contextlib.suppress(OSError, TimeoutError), connection:
            async with asyncio.timeout(LEAVE_SECONDS):
                await loop.sock_sendall(connection, b"leave")
                if await loop.sock_recv(connection, MESSAGE_BYTES):
                    logger.info("jobs are running; the ports are held until the last one has ended")

    # --- the holder -----------------------------------------------------------------------

    def watch(self) -> None:
        """Start the holder again whenever it ends, because it was killed."""
        if self._connection is not None:
            self._connection.setblocking(False)
            asyncio.get_running_loop().add_reader(self._connection, self._on_readable)

    @contextlib.contextmanager
    def _noticing_death(self) -> Iterator[None]:
        try:
            yield
        except (BrokenPipeError, ConnectionResetError):
            self._on_death()

    def _on_readable(self) -> None:
        if self._connection is not None and not _is_open(self._connection):
            self._on_death()

    def _on_death(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()
        self._start_later("the process that holds the ports has ended")

    def _start_later(self, cause: str) -> None:
        self._pause = RESTARTS.next_pause(self._pause, time.monotonic() - self._started_at)
        logger.warning("%s; starting another in %g s", cause, self._pause)
        self._restart = asyncio.get_running_loop().call_later(self._pause, self._start_again)

    def _start_again(self) -> None:
        try:
            self._start()
            with self._noticing_death():
                self._send_sockets()
            if self._is_serving:
                self.serving()
        except OSError as error:
            self._start_later(f"no process holds the ports ({error})")

    def _start(self) -> None:
        if self._restart is not None:
            self._restart.cancel()
        self._started_at = time.monotonic()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with listener, theirs:
            # before the holder runs, so that a service which starts right now finds it
            self._data.socket_holder.unlink(missing_ok=True)
            os.fchmod(listener.fileno(), 0o600)
            with _address(self._data.socket_holder) as address:
                listener.bind(address)
            listener.listen()
            inherited = (listener.fileno(), theirs.fileno())
            in_use = (self._data.in_use, self._data.ports_in_use)
            command = service_python(
                PROGRAM, *map(str, inherited), self._data.service_lock, *in_use
            )
            spawn(command, MINIMAL_ENVIRONMENT, {number: number for number in inherited})
        self._connection = ours
        self.watch()

    def _send_sockets(self) -> None:
        assert self._connection is not None  # noqa: S101  # started before
        named = [
            (purpose, sock.fileno())
            for purpose, sockets in self._held.items()
            for sock in sockets
            if sock.fileno() >= 0
        ]
        # those not taken yet must stay open as well
        named += [(purpose, sock.fileno()) for purpose, sock in self._unclaimed]
        message = " ".join(["hold", *(purpose for purpose, _ in named)]).encode()
        socket.send_fds(self._connection, [message], [number for _, number in named])


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """A short address of a Unix socket, whose path may be too long for one (unix(7): 108 bytes)."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _is_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(MESSAGE_BYTES))
    except BlockingIOError:
        return True
    except OSError:
        return False
