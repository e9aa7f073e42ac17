"""The service's side of the process that holds its listening sockets."""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.supervisor import held_sockets
from asgard_async.supervisor.held_sockets import HeldSockets


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDirectory:
    monkeypatch.setattr(held_sockets, "CLAIM_SECONDS", 0.1)
    return DataDirectory(root=tmp_path / "data").make()


def claim(data: DataDirectory) -> None:
    lock = data.lock()
    try:
        HeldSockets(data, service_lock=lock).claim()
    finally:
        os.close(lock)


@contextlib.contextmanager
def silent_holder(path: Path) -> Iterator[socket.socket]:
    """A holder that is stopped, or whatever has taken its place."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        directory = os.open(path.parent, os.O_PATH)  # the path may be too long for an address
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        listener.listen()
        yield listener


def test_a_holder_without_an_answer_is_named(data: DataDirectory) -> None:
    """Starting without the sockets would fail at their ports, with a reason that does not help."""
    expected = f"does not hand them over (timed out); end it: fuser -k {data.socket_holder}"
    with (
        silent_holder(data.socket_holder),
        pytest.raises(ConfigError, match=re.escape(expected)),
    ):
        claim(data)


def test_without_a_holder_there_is_nothing_to_claim(data: DataDirectory) -> None:
    claim(data)
    with silent_holder(data.socket_holder):
        pass
    claim(data)  # of a holder that has ended
