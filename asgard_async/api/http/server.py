"""aiohttp's server with bounds on connections, deadlines, and problem documents for every error.

aiohttp itself has no deadline for headers, none for clients that stop reading a response, and no
bound on connections. It answers malformed HTTP, unknown `Expect` headers and its own errors with
HTML.
"""

import asyncio
import logging
from typing import Any, cast

import msgspec
from aiohttp import web

from asgard_async.api.http.aiohttp_internals import ObservableRequestHandler, ReplacingRunner
from asgard_async.api.http.connections import Connections, set_dead_peer_timeout
from asgard_async.api.http.forwarded import as_forwarded
from asgard_async.api.http.middlewares import answer_error, is_disconnected
from asgard_async.api.http.problem import (
    CONTENT_TYPE,
    INTERNAL_ERROR,
    RETRY_AFTER_SECONDS,
    Problem,
    problem_of_malformed_http,
)
from asgard_async.api.http.requests import COMMON_HEADERS, new_request_id, put_headers, request_id
from asgard_async.config.component import CONFIG

log = logging.getLogger(__name__)

DEFAULTS = {
    # compressed bodies are rejected, so there is nothing to decompress
    "auto_decompress": False,
    # Seconds for which the rest of a rejected body is read and discarded, so that the client
    # can read the response. A disconnect is noticed only afterwards.
    "lingering_time": 2.0,
    # Bytes of a body that are buffered while the handler is not reading.
    "read_bufsize": 1 << 16,
}


class Runner(ReplacingRunner):
    """Runs the application; use it in place of `web.AppRunner`.

    `max_connections` lowers the limit from the application's configuration.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        max_connections: int | None = None,
        handle_signals: bool = False,
        shutdown_timeout: float = 60.0,
        **options: Any,
    ) -> None:
        config = app[CONFIG]
        self._handler_options = {
            **DEFAULTS,
            "keepalive_timeout": config.http.idle_seconds,
            **options,
        }
        super().__init__(
            app,
            handle_signals=handle_signals,
            shutdown_timeout=shutdown_timeout,
            **self._handler_options,
        )
        self._admission = Connections(
            config.http, limit=max_connections, proxies=config.server.proxies
        )

    def replace_server(self, server: web.Server) -> web.Server:
        admission = self._admission

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await server.request_handler(request)
            except web.HTTPClientError as error:
                return answer_error(request, error)

        def make_request(*args: Any) -> web.BaseRequest:
            return as_forwarded(server.request_factory(*args), admission.is_proxy)

        return _Server(
            admission, handle, request_factory=make_request, handler_options=self._handler_options
        )


class _Server(web.Server):
    def __init__(
        self,
        admission: Connections,
        handler: Any,
        *,
        request_factory: Any,
        handler_options: dict[str, Any],
    ) -> None:
        super().__init__(handler, request_factory=request_factory)
        self._admission = admission
        self._handler_options = handler_options

    def __call__(self) -> web.RequestHandler:
        return _RequestHandler(
            self,
            admission=self._admission,
            loop=asyncio.get_running_loop(),
            **self._handler_options,
        )


class _RequestHandler(ObservableRequestHandler):
    __slots__ = ("_admission", "_client", "_header_deadline", "_response_deadline", "address")

    def __init__(self, *args: Any, admission: Connections, **options: Any) -> None:
        super().__init__(*args, **options)
        self._admission = admission
        # aiohttp clears its own `transport` too early
        self._client: asyncio.Transport | None = None
        self._header_deadline: asyncio.TimerHandle | None = None
        self._response_deadline: asyncio.TimerHandle | None = None
        self.address = ""

    # --- connections ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = client = cast(asyncio.Transport, transport)
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._admission.admit(self):
            log.info("connection from %s rejected: too many connections", self.address)
            self.force_close()  # anything that the client sends from now on is ignored
            client.write(_too_many_connections())
            client.close()
            return
        set_dead_peer_timeout(transport, 2 * self._admission.http.stalled_client_seconds)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._admission.remove(self)
        for deadline in (self._header_deadline, self._response_deadline):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)

    # --- deadlines ------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.idle_since is None:
            if self._header_deadline is not None:
                self._header_deadline.cancel()
                self._header_deadline = None
        elif self._header_deadline is None and data:
            self._header_deadline = self.event_loop.call_later(
                self._admission.http.header_seconds, self._on_late_header
            )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._admission.note_unread(self)
        # WebSockets have a deadline for each message instead
        if not self.is_websocket:
            seconds = self._admission.http.stalled_client_seconds
            self._response_deadline = self.event_loop.call_later(seconds, self._on_stalled_client)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._admission.note_read(self)
        if self._response_deadline is not None:
            self._response_deadline.cancel()
            self._response_deadline = None

    @property
    def unread_bytes(self) -> int:
        """See `ServerConnection`."""
        return self._client.get_write_buffer_size() if self._client is not None else 0

    def _on_late_header(self) -> None:
        self._header_deadline = None
        if self.idle_since is not None:  # otherwise the header arrived at the last moment
            self.disconnect("request header took too long")

    def _on_stalled_client(self) -> None:
        self.disconnect("client stopped reading the response")

    def disconnect(self, reason: str) -> None:
        """See `ServerConnection`."""
        # any client can cause this, so it must not fill the log
        log.info("connection from %s closed: %s", self.address, reason)
        if self._client is not None:
            self._client.abort()

    # --- errors ---------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the response has already started")
        if isinstance(exc, ConnectionError) and is_disconnected(request):
            log.info("request %s aborted by its client", request_id(request))
            problem = INTERNAL_ERROR  # the client never receives this response
        elif status < 500:
            log.info("malformed request from %s: %s", request.remote, type(exc).__name__)
            problem = problem_of_malformed_http(status)
        else:
            log.error("request %s failed outside its handler", request_id(request), exc_info=exc)
            problem = INTERNAL_ERROR
        response = problem.response(request_id(request))
        put_headers(request, response)
        response.force_close()
        return response


def _too_many_connections() -> bytes:
    """Return the response to a connection over the limit, sent before its first request."""
    problem = Problem(status=503, detail="The service has too many connections; try again shortly.")
    new_id = new_request_id()
    body = msgspec.json.encode(problem.document(new_id))
    headers = {
        **COMMON_HEADERS,
        "X-Request-ID": new_id,
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(len(body)),
        "Retry-After": str(RETRY_AFTER_SECONDS),
        "Connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{lines}\r\n".encode() + body
