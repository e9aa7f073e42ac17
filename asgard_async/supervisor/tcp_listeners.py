"""Listening TCP sockets: on the configured address, and always on both loopback addresses.

If only one of 127.0.0.1 and ::1 were bound, a job could bind the other one, and some clients would
connect to it as `localhost`.
"""

import errno
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from asgard_async.config import ConfigError
from asgard_async.core.tcp_table import listener_on

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "::1")
COVERED_BY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
BACKLOG = 1024
"""Pending connections; the kernel also applies net.core.somaxconn."""
PORT_ATTEMPTS = 20
"""Attempts to find a port that is free on every address."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The IP addresses to listen on: those that were asked for, and the other loopback ones."""

    required: Sequence[str]
    further: Sequence[str]

    @classmethod
    def of(cls, host: str) -> Self:
        """Return the addresses of a host name or IP address; may ask the name server.

        Raises:
            ConfigError: the host has no address.
        """
        if host == "localhost":
            return cls(required=LOOPBACK[:1], further=LOOPBACK[1:])
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError(f"[server] host: {host} has no address ({error.strerror})") from error
        required = list(dict.fromkeys(str(address[0]) for *_, address in found))
        covered = {*required, *(COVERED_BY.get(address) for address in required)}
        return cls(
            required=required, further=[address for address in LOOPBACK if address not in covered]
        )


def listen(
    addresses: Addresses, port: int, *, earlier: Sequence[socket.socket] = ()
) -> list[socket.socket]:
    """Listen on one port of all addresses, the required ones first.

    Uses `earlier` sockets of the same address and port, and closes the others. Port 0 means the
    port of an earlier socket, or else any free one. A further address is left out if the machine
    does not have it or another process uses its port.

    Raises:
        ConfigError: a required address is not available.
    """
    if port == 0:
        names = (sock.getsockname() for sock in earlier)
        port = next((name[1] for name in names if name[0] == addresses.required[0]), 0)
    kept = {}
    for sock in earlier:
        address, its_port = sock.getsockname()[:2]
        if its_port == port and address in (*addresses.required, *addresses.further):
            kept[address] = sock
        else:
            sock.close()
    for _ in range(PORT_ATTEMPTS if port == 0 else 0):
        sockets, refused = _listen(addresses, 0, {})
        if not refused:
            return sockets
        for sock in sockets:
            sock.close()
    sockets, refused = _listen(addresses, port, kept)
    for address in refused:
        logger.warning(
            "port %d of %s belongs to another process, which clients of localhost may reach"
            " instead of this service; to find it: ss -ltnp 'sport = :%d'",
            port,
            address,
            port,
        )
    return sockets


def is_present(address: str) -> bool:
    """Return whether this machine has an address."""
    try:
        _open(address, 0).close()
    except OSError as error:
        return error.errno not in NO_IPV6
    return True


def _listen(
    addresses: Addresses, port: int, kept: dict[str, socket.socket]
) -> tuple[list[socket.socket], list[str]]:
    """Return the sockets, and the further addresses whose port is in use."""
    sockets, refused = [], []
    for address in (*addresses.required, *addresses.further):
        if address in kept:
            sockets.append(kept[address])
            continue
        try:
            sock = _open(address, port)
        except OSError as error:
            if address in addresses.required:
                for opened in sockets:
                    opened.close()
                reason = os.strerror(error.errno).lower() if error.errno else str(error)
                if error.errno == errno.EADDRINUSE:
                    holder = listener_on(address, port) or "another process"
                    reason += f" by {holder}; stop it, or choose another with --port"
                raise ConfigError(f"Cannot listen on {address}, port {port}: {reason}") from error
            if error.errno not in NO_IPV6:
                refused.append(address)
            continue
        sockets.append(sock)
        port = sock.getsockname()[1]
    return sockets, refused


def _open(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # past connections do not prevent a restart; a listening socket still excludes others
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
