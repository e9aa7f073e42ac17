"""Keeps the listening sockets open between two runs of the service, so that no job can bind them.

`python -I -S socket_holder.py LISTENER SERVICE SERVICE_LOCK IN_USE…`; the first two are
descriptors: the Unix socket through which the next service claims the sockets, and the connection
to the present one. Messages (SOCK_SEQPACKET), with descriptors where it says so:

    service → holder   claim     with the locked SERVICE_LOCK, which proves that it is the service
    holder → service   held …    the purpose of each socket, with the sockets
    service → holder   hold …    replaces what is held, with the sockets
    service → holder   serving   the service accepts connections from now on
    service → holder   leave     the service stops; answered by `kept` if the sockets stay held

While no service accepts connections, clients of the service get a 503. The holder ends once there
is no service and no lock on any IN_USE. Keepers of running jobs and builds share one of them; the
other is MLflow's, which outlives a crash of the service even without jobs.
"""

import _socket  # `socket` takes 3 MB more
import fcntl
import os
import select
import signal
import struct
import sys
import time

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../../.."))

from asgard_async.supervisor.shim import linux

SERVICE = "service"
"""The purpose of the sockets whose clients get an answer while the service is down."""
MESSAGE_BYTES = 4096
MAX_SOCKETS = 64
CHECK_SECONDS = 0.5
CRASH_SECONDS = 5.0
"""After a crash, a keeper that was just started may not hold its lock yet."""
MAX_CLIENTS = 64
CLIENT_SECONDS = 2.0

DOCUMENT = (
    b'{"type":"urn:asgard:problem:service-stopped","title":"Service stopped","status":503,'
    b'"detail":"Asgard is stopped or starting; running jobs continue. Try again shortly, or start'
    b' it with: asgard serve"}'
)
RESPONSE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    b"Retry-After: 1\r\nConnection: close\r\n\r\n%b" % (len(DOCUMENT), DOCUMENT)
)


class Client:
    """A connection made while the service is down."""

    def __init__(self, connection: _socket.socket) -> None:
        self.connection = connection
        self.deadline = time.monotonic() + CLIENT_SECONDS
        self.is_answered = False

    def proceed(self) -> bool:
        """Answer the request, or discard what follows it; return whether the client is done."""
        try:
            received = self.connection.recv(65536)
            if received and not self.is_answered:
                self.is_answered = True
                self.connection.send(RESPONSE)
                self.connection.shutdown(_socket.SHUT_WR)
            return not received
        except BlockingIOError:
            return False
        except OSError:
            return True


class Holder:
    """The process's state and its loop."""

    def __init__(
        self,
        listener: _socket.socket,
        service: _socket.socket,
        service_lock: str,
        in_use: "list[str]",
    ) -> None:
        self._listener = listener
        self._service: _socket.socket | None = service
        self._service_lock = service_lock
        self._in_use = in_use
        self._purposes: list[str] = []
        self._sockets: list[_socket.socket] = []
        self._is_serving = False
        self._crash_over_at = 0.0
        self._claims: dict[int, Client] = {}
        self._clients: dict[int, Client] = {}

    def run(self) -> None:
        """Hold the sockets for as long as a service, a job or MLflow is running."""
        while self._service is not None or not self._is_over():
            ready = self._wait()
            if self._service is not None and self._service.fileno() in ready:
                self._hear_service(self._service)
            if self._listener.fileno() in ready:
                self._accept(self._listener, self._claims)
            for number in ready & self._claims.keys():
                self._hear_claim(self._claims.pop(number).connection)
            for sock in self._answered():
                if sock.fileno() in ready:
                    self._accept(sock, self._clients)
            for number in ready & self._clients.keys():
                if self._clients[number].proceed():
                    self._clients.pop(number).connection.close()
            self._drop_late(self._claims)
            self._drop_late(self._clients)
        self._end()

    def _end(self) -> None:
        # before the listener and the connection: once they are closed, a service can bind the ports
        self._replace([], [])
        linux.leave(0)

    def _wait(self) -> "set[int]":
        poll = select.poll()
        waited_for = [*self._claims, *self._clients]
        if len(self._claims) < MAX_CLIENTS:
            waited_for.append(self._listener.fileno())
        waited_for += [sock.fileno() for sock in self._answered()]
        if self._service is not None:
            waited_for.append(self._service.fileno())
        for number in waited_for:
            poll.register(number, select.POLLIN)
        is_watching = self._service is None or self._claims or self._clients
        return {number for number, _ in poll.poll(CHECK_SECONDS * 1000 if is_watching else None)}

    def _is_over(self) -> bool:
        """Return whether nothing is running; a keeper would wait for the locks that this keeps."""
        if time.monotonic() < self._crash_over_at:
            return False
        locked: list[int] = []
        try:
            for path in self._in_use:
                locked.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                fcntl.flock(locked[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            for number in locked:
                os.close(number)
            return False
        except OSError:
            return True  # the data directory is gone
        return True

    # --- the service ------------------------------------------------------------------------

    def _hear_service(self, service: _socket.socket) -> None:
        try:
            message, descriptors = _receive(service)
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = b"", []
        command, *arguments = message.decode().split() or [""]
        if command == "hold":
            self._replace(arguments, [_socket.socket(fileno=number) for number in descriptors])
        elif command == "serving":
            self._is_serving = True
            for client in self._clients.values():
                client.connection.close()
            self._clients.clear()
        elif command == "leave":
            self._is_serving = False
            self._crash_over_at = 0.0
            if self._is_over():
                self._end()
            service.send(b"kept")
            self._lose(service)
        else:
            self._crash_over_at = time.monotonic() + CRASH_SECONDS
            self._lose(service)

    def _lose(self, service: _socket.socket) -> None:
        service.close()
        self._service = None
        self._is_serving = False

    def _hear_claim(self, connection: _socket.socket) -> None:
        descriptors: list[int] = []
        try:
            message, descriptors = _receive(connection)
            if message != b"claim" or len(descriptors) != 1 or not self._may_claim(descriptors[0]):
                connection.close()
                return
            _send(connection, " ".join(["held", *self._purposes]).encode(), self._sockets)
        except OSError:
            connection.close()
            return
        finally:
            for number in descriptors:
                os.close(number)
        if self._service is not None:
            self._service.close()  # the former holder of the lock
        self._service = connection
        self._is_serving = False

    def _may_claim(self, descriptor: int) -> bool:
        """Return whether a descriptor is the service's lock, opened for writing and locked.

        Being the same user is not enough: Landlock does not prevent a job from connecting, but does
        prevent it from opening the file.
        """
        ours, theirs = os.stat(self._service_lock), os.fstat(descriptor)
        if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
            return False
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True

    def _replace(self, purposes: "list[str]", sockets: "list[_socket.socket]") -> None:
        former, self._sockets, self._purposes = self._sockets, sockets, purposes
        for sock in former:
            sock.close()

    # --- clients ------------------------------------------------------------------------------

    def _answered(self) -> "list[_socket.socket]":
        if self._is_serving or len(self._clients) >= MAX_CLIENTS:
            return []
        named = zip(self._purposes, self._sockets, strict=False)
        return [sock for purpose, sock in named if purpose == SERVICE]

    def _accept(self, listener: _socket.socket, clients: "dict[int, Client]") -> None:
        try:
            number, _ = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        connection = _socket.socket(fileno=number)
        connection.setblocking(False)
        clients[connection.fileno()] = Client(connection)

    def _drop_late(self, clients: "dict[int, Client]") -> None:
        now = time.monotonic()
        for number in [number for number, client in clients.items() if client.deadline < now]:
            clients.pop(number).connection.close()


def _receive(connection: _socket.socket) -> "tuple[bytes, list[int]]":
    size = struct.calcsize("i")
    message, ancillary, _, _ = connection.recvmsg(
        MESSAGE_BYTES, _socket.CMSG_SPACE(MAX_SOCKETS * size), _socket.MSG_CMSG_CLOEXEC
    )
    descriptors: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            descriptors += struct.unpack(f"{len(data) // size}i", data[: len(data) // size * size])
    return message, descriptors


def _send(connection: _socket.socket, message: bytes, sockets: "list[_socket.socket]") -> None:
    numbers = struct.pack(f"{len(sockets)}i", *(sock.fileno() for sock in sockets))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if sockets else []
    connection.sendmsg([message], rights)


def main() -> None:
    """Hold the sockets of one data directory."""
    listener, service = (_socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    os.umask(0o077)
    linux.close_all_but(0, 1, 2, listener.fileno(), service.fileno())
    linux.set_dumpable(False)  # its descriptors cannot be taken by another process of the user
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    listener.setblocking(False)
    service.setblocking(False)
    Holder(listener, service, sys.argv[3], sys.argv[4:]).run()


if __name__ == "__main__":
    main()
