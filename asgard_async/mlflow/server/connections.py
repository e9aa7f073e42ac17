"""Bounds on connections: their number, in total and by user, and their time without a request.

uvicorn closes a connection that is idle after a response, but not one that never sends a request or
that sends its header slowly. Each connection takes a descriptor and memory.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .peer_user import user_of

MAX_CONNECTIONS = 1024
"""Open connections; the oldest without a request makes room for a new one."""
USERS_SHARE = 2
"""A user may have the maximum divided by this number."""
HEADER_SECONDS = 20.0
"""Time for the header of a request, from the connection or the last response."""


class BoundedProtocol(H11Protocol):
    """A connection that is closed if it has no request in progress for too long."""

    max_connections = MAX_CONNECTIONS
    header_seconds = HEADER_SECONDS
    user: int | None = None
    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """True while there is no request in progress."""
        cycle: Any = self.cycle  # None until the first request, against its annotation
        return cycle is None or cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Admit a connection, if need be in place of one that is waiting."""
        super().connection_made(transport)
        self.user = user_of({"client": self.client, "server": self.server})
        others = [other for other in self.connections if isinstance(other, BoundedProtocol)]
        of_user = [other for other in others if other.user == self.user]
        crowded = None
        if len(of_user) > self.max_connections // USERS_SHARE:
            crowded = of_user
        elif len(others) > self.max_connections:
            crowded = others
        if crowded is not None and not self._close_longest_waiting(crowded):
            transport.abort()
            return
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Start the time for the next request."""
        self._expect_request()
        super().on_response_complete()

    def _expect_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.header_seconds, self._close_if_waiting)

    def _close_if_waiting(self) -> None:
        if self.is_waiting:
            self.transport.abort()

    def _close_longest_waiting(self, crowded: "list[BoundedProtocol]") -> bool:
        """Close the connection that has waited longest; False if all have a request."""
        waiting = [other for other in crowded if other is not self and other.is_waiting]
        if not waiting:
            return False
        longest = min(waiting, key=lambda other: other._deadline.when() if other._deadline else 0.0)
        self.connections.discard(longest)
        longest.transport.abort()
        return True
