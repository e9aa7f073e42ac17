"""Which connections there may be, and how long each may take for what it has to do."""

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from asgard_async.config import HttpConfig

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Connection(Protocol):
    """What a connection must tell of itself."""

    address: str

    @property
    def idle_since(self) -> float | None:
        """When its last request had been answered, by the loop's clock; None while it has one."""

    def force_close(self) -> None:
        """Close it."""


class Connections:
    """Those that are open, and who may have one more."""

    def __init__(
        self, http: HttpConfig, *, most: int | None = None, proxies: Sequence[Network] = ()
    ) -> None:
        self.http = http
        self._most = min(http.max_connections, most or http.max_connections)
        self._proxies = proxies
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()

    def admit(self, connection: Connection) -> bool:
        """Take one more; where there are as many as may be, an idle one is closed for it."""
        address = connection.address
        per_address = self.http.max_connections_per_address
        if self._by_address[address] >= per_address and not self.is_proxy(address):
            if not self._close_longest_idle(address):
                return False
        elif len(self._open) >= self._most and not self._close_longest_idle(None):
            return False
        self._open.add(connection)
        self._by_address[address] += 1
        return True

    def gone(self, connection: Connection) -> None:
        """Forget one; also one that was not taken."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]

    def is_proxy(self, address: str) -> bool:
        """Whether it is that of a proxy that is trusted."""
        if not self._proxies:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        # a socket for both protocols tells addresses of the older one within the newer
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self._proxies)

    def _close_longest_idle(self, address: str | None) -> bool:
        candidates = (one for one in self._open if address in {None, one.address})
        idle = [(since, one) for one in candidates if (since := one.idle_since) is not None]
        if not idle:
            return False
        _, victim = min(idle, key=lambda pair: pair[0])
        self.gone(victim)
        victim.force_close()
        return True


def give_up_dead_peer(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Have the kernel break a connection off when nothing is acknowledged for so long."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
