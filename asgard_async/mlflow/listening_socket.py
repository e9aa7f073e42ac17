"""The embedded MLflow server's listening sockets, and a record of its settings."""

import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from asgard_async.config import ConfigError
from asgard_async.supervisor.tcp_listeners import Addresses, listen

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"


class StoredSettings(msgspec.Struct):
    """The contents of server.json: the settings that the server was started with."""

    port: int
    configured: int
    """The port in the configuration; 0 for any."""
    artifacts_destination: str = ""

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """Read the settings of the last start; None if there was no start."""
        try:
            return msgspec.json.decode(file.read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def write(self, file: Path) -> None:
        """Write the settings for the next service process."""
        file.write_bytes(msgspec.json.encode(self))


def open_sockets(
    configured_port: int,
    last_settings: StoredSettings | None,
    earlier: Sequence[socket.socket] = (),
) -> list[socket.socket]:
    """Listen on the last port, else the configured port, else any free port.

    Uses `earlier` sockets of that port and closes the others. The first socket is that of `HOST`.

    Raises:
        ConfigError: no port is available.
    """
    preferred = configured_port
    if last_settings is not None and last_settings.configured == configured_port:
        preferred = last_settings.port
    addresses = Addresses.of(HOST)
    try:
        return listen(addresses, preferred, earlier=earlier)
    except ConfigError:
        sockets = listen(addresses, 0)
    port = sockets[0].getsockname()[1]
    logger.warning("port %d is in use; embedded MLflow uses %d", preferred, port)
    return sockets
