"""The process that holds the listening sockets ends only when no process needs them."""

import contextlib
import fcntl
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.supervisor.held_sockets import PROGRAM
from asgard_async.supervisor.process_spec import service_python

SECONDS = 60


@contextlib.contextmanager
def holder(directory: Path) -> Iterator[socket.socket]:
    """Start a holder; yield the connection of its service."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        ours.settimeout(SECONDS)
        listener.bind("")  # to any abstract address
        listener.listen()
        inherited = (listener.fileno(), theirs.fileno())
        paths = [directory / name for name in ("service.lock", "jobs.lock", "ports.lock")]
        with subprocess.Popen(
            service_python(PROGRAM, *map(str, inherited), *paths), pass_fds=inherited
        ) as process:
            theirs.close()
            try:
                yield ours
                assert process.wait(SECONDS) == 0
            finally:
                process.kill()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Share a lock, as a keeper does."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def test_it_ends_with_the_service_if_nothing_runs(tmp_path: Path) -> None:
    with holder(tmp_path) as service:
        service.send(b"leave")
        assert service.recv(100) == b""


@pytest.mark.parametrize("lock", ["jobs.lock", "ports.lock"])
def test_it_outlives_the_service_while_something_runs(tmp_path: Path, lock: str) -> None:
    with socket.socket() as held, holder(tmp_path) as service:
        held.bind(("127.0.0.1", 0))
        held.listen()
        address = held.getsockname()
        socket.send_fds(service, [b"hold mlflow"], [held.fileno()])
        held.close()
        with locked(tmp_path / lock):
            service.send(b"leave")
            assert service.recv(100) == b"kept"
            with socket.socket() as other, pytest.raises(OSError, match=os.strerror(98)):
                other.bind(address)
