"""The embedded MLflow server's listening socket, and a record of its settings."""

import logging
import socket
from pathlib import Path
from typing import Self

import msgspec

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"


class ServerSettings(msgspec.Struct):
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


def open_socket(configured_port: int, last_settings: ServerSettings | None) -> socket.socket:
    """Listen on the last port, else the configured port, else any free port.

    Raises:
        OSError: no port is available.
    """
    preferred = configured_port
    if last_settings is not None and last_settings.configured == configured_port:
        preferred = last_settings.port
    listener = _listen(preferred) or _listen(0)
    if listener is None:
        raise OSError(f"cannot listen on any port of {HOST} for the embedded MLflow")
    port = listener.getsockname()[1]
    if preferred not in {0, port}:
        logger.warning("port %d is in use; embedded MLflow uses %d", preferred, port)
    return listener


def _listen(port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        return None
    return listener
