"""The process that holds the listening sockets: when it ends, and whom it gives them to."""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from asgard_async.supervisor.held_sockets import PROGRAM
from asgard_async.supervisor.process_spec import service_python

SECONDS = 60
SERVICE_LOCK = "service.lock"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A running holder."""

    service: socket.socket
    """The connection of its service."""
    address: bytes
    """Where the next service claims the sockets."""

    def hold(self, *sockets: socket.socket) -> None:
        message = " ".join(["hold", *("mlflow" for _ in sockets)]).encode()
        socket.send_fds(self.service, [message], [sock.fileno() for sock in sockets])

    @contextlib.contextmanager
    def claimed_with(self, *descriptors: int) -> Iterator[socket.socket]:
        """Claim the sockets; yield the connection."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(SECONDS)
            connection.connect(self.address)
            socket.send_fds(connection, [b"claim"], descriptors)
            yield connection


@contextlib.contextmanager
def running_holder(directory: Path) -> Iterator[Holder]:
    """Start a holder; it must have ended by itself at the end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        ours.settimeout(SECONDS)
        listener.bind("")  # to any abstract address
        listener.listen()
        inherited = (listener.fileno(), theirs.fileno())
        paths = [directory / name for name in (SERVICE_LOCK, "jobs.lock", "ports.lock")]
        with subprocess.Popen(
            service_python(PROGRAM, *map(str, inherited), *paths), pass_fds=inherited
        ) as process:
            theirs.close()
            try:
                yield Holder(service=ours, address=listener.getsockname())
                assert process.wait(SECONDS) == 0
            finally:
                process.kill()


@contextlib.contextmanager
def opened(path: Path, flags: int = os.O_RDWR, *, lock: int = 0) -> Iterator[int]:
    """A descriptor of a file, which is created if missing, with a lock."""
    path.touch(mode=0o600)
    descriptor = os.open(path, flags)
    try:
        if lock:
            fcntl.flock(descriptor, lock)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_it_ends_with_the_service_if_nothing_runs(tmp_path: Path) -> None:
    with running_holder(tmp_path) as holder:
        holder.service.send(b"leave")
        assert holder.service.recv(100) == b""


def test_it_ends_with_its_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with running_holder(data) as holder:
        shutil.rmtree(data)
        holder.service.send(b"leave")
        assert holder.service.recv(100) == b""


@pytest.mark.parametrize("lock", ["jobs.lock", "ports.lock"])
def test_it_outlives_the_service_while_something_runs(tmp_path: Path, lock: str) -> None:
    with listening() as held, running_holder(tmp_path) as holder:
        address = held.getsockname()
        holder.hold(held)
        held.close()
        with opened(tmp_path / lock, lock=fcntl.LOCK_SH):  # as a keeper does
            holder.service.send(b"leave")
            assert holder.service.recv(100) == b"kept"
            with socket.socket() as other, pytest.raises(OSError, match=os.strerror(98)):
                other.bind(address)


def test_the_next_service_gets_the_sockets(tmp_path: Path) -> None:
    with (
        listening() as held,
        running_holder(tmp_path) as holder,
        opened(tmp_path / SERVICE_LOCK, lock=fcntl.LOCK_EX) as lock,
    ):
        holder.hold(held)
        with holder.claimed_with(lock) as connection:
            message, (descriptor,), *_ = socket.recv_fds(connection, 100, 10)
            with socket.socket(fileno=descriptor) as received:
                assert message == b"held mlflow"
                assert received.getsockname() == held.getsockname()
            assert holder.service.recv(100) == b""
            connection.send(b"leave")
            assert connection.recv(100) == b""


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        (SERVICE_LOCK, os.O_RDONLY),  # which somebody could open who must not write it
        (SERVICE_LOCK, os.O_PATH),  # Landlock allows this
        ("another", os.O_RDWR),
    ],
)
def test_other_descriptors_prove_nothing(tmp_path: Path, name: str, flags: int) -> None:
    with (
        running_holder(tmp_path) as holder,
        opened(tmp_path / SERVICE_LOCK),
        opened(tmp_path / name, flags) as descriptor,
    ):
        with holder.claimed_with(descriptor) as connection:
            assert connection.recv(100) == b""
        with holder.claimed_with() as connection:
            assert connection.recv(100) == b""
        holder.service.send(b"leave")


def test_a_lock_that_is_not_held_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / SERVICE_LOCK
    with (
        running_holder(tmp_path) as holder,
        opened(path, lock=fcntl.LOCK_EX),
        opened(path) as descriptor,
    ):
        with holder.claimed_with(descriptor) as connection:
            assert connection.recv(100) == b""
        holder.service.send(b"leave")
