"""The only module that relies on private members of aiohttp.

aiohttp has no deadline for request headers, no bound on connections, and no hook for the server
that its runner creates. The server needs four private members for that; `PRIVATE_MEMBERS` lists
them and what breaks without each, and tests/api/http/test_aiohttp_internals.py checks them.
setup.cfg limits aiohttp to the minor versions that passed these tests.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

PRIVATE_MEMBERS: Final[Mapping[str, str]] = {
    "AppRunner._make_server": (
        "aiohttp serves the application with its own server: no bound on connections, no deadlines,"
        " no proxy addresses, and error pages in HTML"
    ),
    "RequestHandler._messages": (
        "a connection counts as idle while a request waits for its handler, so it may be closed"
        " with the request unanswered"
    ),
    "RequestHandler._request_in_progress": (
        "a connection counts as idle during a request, so it may be closed in mid-response"
    ),
    "RequestHandler._next_keepalive_close_time": (
        "the time of the last response is unknown, so a full service closes any idle connection"
        " rather than the one that has been idle longest"
    ),
}


class ReplacingRunner(web.AppRunner):
    """A runner that serves its application with the server from `replace_server`."""

    async def _make_server(self) -> web.Server:
        return self.replace_server(await super()._make_server())

    def replace_server(self, server: web.Server) -> web.Server:
        """Return the server to run instead of aiohttp's `server`."""
        raise NotImplementedError


class ObservableRequestHandler(web.RequestHandler):
    """The protocol of one connection, which records when it became idle."""

    __slots__ = ("_connected_at", "_is_websocket", "event_loop")

    def __init__(
        self, server: web.Server, *, loop: asyncio.AbstractEventLoop, **options: Any
    ) -> None:
        super().__init__(server, loop=loop, **options)
        self.event_loop = loop
        self._connected_at = loop.time()
        self._is_websocket = False

    @property
    def idle_since(self) -> float | None:
        """Time of the last response, by the loop's clock; None during a request."""
        if self._request_in_progress or self._messages:
            return None
        # before the first response, aiohttp's own time may be 0
        answered_at = self._next_keepalive_close_time - self.keepalive_timeout
        return max(self._connected_at, answered_at)

    @property
    def is_websocket(self) -> bool:
        """True once a handler has accepted the upgrade to a WebSocket.

        The request alone does not count: any client can send an Upgrade header.
        """
        return self._is_websocket

    def set_parser(self, *args: Any, **kwargs: Any) -> None:
        # aiohttp installs a frame parser when a WebSocketResponse is prepared
        self._is_websocket = True
        super().set_parser(*args, **kwargs)
