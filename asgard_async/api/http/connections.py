"""Admission of connections: bounds in total and per address, and idle connections to close."""

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from asgard_async.config import HttpConfig

MAX_UNREAD_BYTES = 256 << 20
"""Parts of responses, in total, that are in memory because their clients do not read them."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ServerConnection(Protocol):
    """The part of a connection that admission needs."""

    address: str

    @property
    def idle_since(self) -> float | None:
        """Time of the last response, by the loop's clock; None during a request."""

    @property
    def unread_bytes(self) -> int:
        """Bytes of responses that the client has not read yet."""

    def force_close(self) -> None:
        """Close the connection."""

    def disconnect(self, reason: str) -> None:
        """Close the connection at once, and drop what it has not sent yet."""


class Connections:
    """The open connections, bounded in total and per address."""

    def __init__(
        self, http: HttpConfig, *, limit: int | None = None, proxies: Sequence[Network] = ()
    ) -> None:
        self.http = http
        self._limit = min(http.max_connections, limit or http.max_connections)
        self._proxies = proxies
        self._open: set[ServerConnection] = set()
        self._by_address: Counter[str] = Counter()
        self._unread: dict[ServerConnection, None] = {}
        """Connections whose clients do not read, the longest first."""

    def admit(self, connection: ServerConnection) -> bool:
        """Admit a connection if possible; at a limit, close the longest idle one to make room."""
        address = connection.address
        per_address = self.http.max_connections_per_address
        if self._by_address[address] >= per_address and not self.is_proxy(address):
            if not self._close_longest_idle(address):
                return False
        elif len(self._open) >= self._limit and not self._close_longest_idle(None):
            return False
        self._open.add(connection)
        self._by_address[address] += 1
        return True

    def remove(self, connection: ServerConnection) -> None:
        """Remove a closed connection; ignore a connection that was not admitted."""
        self._unread.pop(connection, None)
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]

    def note_unread(self, connection: ServerConnection) -> None:
        """Note that a client does not read fast enough.

        If too much is in memory for such clients, disconnect those that have not read for longest.
        """
        self._unread[connection] = None
        total = sum(other.unread_bytes for other in self._unread)
        while total > MAX_UNREAD_BYTES:
            longest = next(iter(self._unread))
            total -= longest.unread_bytes
            del self._unread[longest]
            longest.disconnect("too much waits for clients that do not read")

    def note_read(self, connection: ServerConnection) -> None:
        """Note that a client has caught up."""
        self._unread.pop(connection, None)

    def is_proxy(self, address: str) -> bool:
        """Return whether the address belongs to a trusted proxy."""
        if not self._proxies:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        # a dual-stack socket reports IPv4 peers as IPv4-mapped IPv6 addresses
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self._proxies)

    def _close_longest_idle(self, address: str | None) -> bool:
        idle = [
            (since, connection)
            for connection in self._open
            if address in {None, connection.address}
            and (since := connection.idle_since) is not None
        ]
        if not idle:
            return False
        _, longest_idle = min(idle, key=lambda pair: pair[0])
        self.remove(longest_idle)
        longest_idle.force_close()
        return True


def set_dead_peer_timeout(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Have the kernel abort the connection if sent data is not acknowledged for `seconds`."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
