"""aiohttp's server, with bounds on connections, and problem documents where no handler is reached.

That is: what cannot be read as HTTP, an unknown `Expect` header, and errors in aiohttp itself.
aiohttp has no deadline for headers, nor for answers that nobody takes, and no bound on connections.
"""

import asyncio
import logging
from typing import Any, cast

import msgspec
from aiohttp import web

from asgard_async.api.http.connections import Connections, give_up_dead_peer
from asgard_async.api.http.forwarded import as_forwarded
from asgard_async.api.http.middlewares import answer_error, is_gone
from asgard_async.api.http.problem import (
    CONTENT_TYPE,
    INTERNAL_ERROR,
    RETRY_AFTER_SECONDS,
    Problem,
    problem_of_malformed_http,
)
from asgard_async.api.http.requests import COMMON_HEADERS, draw_request_id, put_headers, request_id
from asgard_async.config.component import CONFIG

log = logging.getLogger(__name__)

DEFAULTS = {
    # compressed bodies are refused, so nothing is ever to be decompressed
    "auto_decompress": False,
    # Seconds for which the rest of a refused body is read and thrown away, so that the client
    # gets to read the refusal. A connection that is gone meanwhile is not noticed before.
    "lingering_time": 2.0,
    # Bytes of a body that are kept for a handler that does not read on.
    "read_bufsize": 1 << 16,
}


class Runner(web.AppRunner):
    """Runs the application; to be used wherever `web.AppRunner` would be.

    With room for `max_connections` if that is less than what the application's config allows.
    """

    def __init__(
        self, app: web.Application, *, max_connections: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(app, **{**DEFAULTS, **kwargs})
        config = app[CONFIG]
        self._connections = Connections(
            config.http, most=max_connections, proxies=config.server.proxies
        )
        self._kwargs.setdefault("keepalive_timeout", config.http.idle_seconds)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        connections = self._connections

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await made.request_handler(request)
            except web.HTTPClientError as error:
                return answer_error(request, error)

        def make_request(*args: Any) -> web.BaseRequest:
            request = made.request_factory(*args)
            return as_forwarded(request, connections.is_proxy)

        return _Server(connections, handle, request_factory=make_request, **made._kwargs)


class _Server(web.Server):
    def __init__(self, admitted: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admitted = admitted

    def __call__(self) -> web.RequestHandler:
        return _RequestHandler(self, admitted=self._admitted, loop=self._loop, **self._kwargs)


class _RequestHandler(web.RequestHandler):
    __slots__ = ("_admitted", "_answer_deadline", "_connection", "_head_deadline", "address")

    def __init__(self, *args: Any, admitted: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admitted = admitted
        self._connection: asyncio.Transport | None = None  # aiohttp forgets its own early
        self._head_deadline: asyncio.TimerHandle | None = None
        self._answer_deadline: asyncio.TimerHandle | None = None
        self.address = ""

    # --- connections ----------------------------------------------------------------------

    @property
    def idle_since(self) -> float | None:
        """When the last request had been answered; None while there is one."""
        if self._request_in_progress or self._messages or self._upgraded:
            return None
        return self._next_keepalive_close_time - self._keepalive_timeout

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = connection = cast(asyncio.Transport, transport)
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._admitted.admit(self):
            log.info("a connection from %s is one too many", self.address)
            self._force_close = True
            connection.write(_too_many_connections())
            connection.close()
            return
        give_up_dead_peer(transport, 2 * self._admitted.http.stalled_client_seconds)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._admitted.gone(self)
        for deadline in (self._head_deadline, self._answer_deadline):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)

    # --- deadlines ------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.idle_since is None:
            if self._head_deadline is not None:
                self._head_deadline.cancel()
                self._head_deadline = None
        elif self._head_deadline is None and data:
            self._head_deadline = self._loop.call_later(
                self._admitted.http.header_seconds, self._head_is_late
            )

    def pause_writing(self) -> None:
        super().pause_writing()
        # WebSockets have a deadline of their own for each message
        if not self._upgraded:
            seconds = self._admitted.http.stalled_client_seconds
            self._answer_deadline = self._loop.call_later(seconds, self._answer_is_stuck)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answer_deadline is not None:
            self._answer_deadline.cancel()
            self._answer_deadline = None

    def _head_is_late(self) -> None:
        self._head_deadline = None
        if self.idle_since is not None:  # else it came in the same moment
            self._cut_off("took too long to send the header of a request")

    def _answer_is_stuck(self) -> None:
        self._cut_off("takes nothing of its answer")

    def _cut_off(self, why: str) -> None:
        # anybody can cause it, so it must not fill the log
        log.info("a connection is cut off: %s %s", self.address, why)
        if self._connection is not None:
            self._connection.abort()

    # --- errors ---------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun; there can be no other")
        if isinstance(exc, ConnectionError) and is_gone(request):
            log.info("Request %s was broken off by its client", request_id(request))
            problem = INTERNAL_ERROR  # nobody reads it
        elif status < 500:
            log.info("Malformed request from %s: %s", request.remote, type(exc).__name__)
            problem = problem_of_malformed_http(status)
        else:
            log.error("Request %s failed outside its handler", request_id(request), exc_info=exc)
            problem = INTERNAL_ERROR
        response = problem.response(request_id(request))
        put_headers(request, response)
        response.force_close()
        return response


def _too_many_connections() -> bytes:
    """What a connection is answered that there is no room for, before it has asked anything."""
    problem = Problem(
        status=503, detail="The service has as many connections as it may; try again shortly."
    )
    drawn = draw_request_id()
    body = msgspec.json.encode(problem.document(drawn))
    headers = {
        **COMMON_HEADERS,
        "X-Request-ID": drawn,
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(len(body)),
        "Retry-After": str(RETRY_AFTER_SECONDS),
        "Connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{lines}\r\n".encode() + body
