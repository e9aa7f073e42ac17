"""HTTP requests, with retries and the conversion of error responses to exceptions."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from enum import Enum
from typing import Any, TypeVar

import aiohttp
import msgspec
from yarl import URL

from asgard_async import __version__
from asgard_async.client.address import Address
from asgard_async.client.errors import (
    DRAINING,
    STOPPED,
    AsgardError,
    ConnectionFailed,
    TooManyRequests,
    Unavailable,
    error_for,
)
from asgard_async.client.handshake import HandshakeFailed, verify
from asgard_async.client.retry_budget import RetryBudget

T = TypeVar("T")
Body = Callable[[], AbstractContextManager[Any]]
"""Creates the body of a request; called for each attempt."""

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
MAX_FRAME_BYTES = 64 << 20
HEARTBEAT_SECONDS = 20.0
CONNECTION_ERRORS = (
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
    TimeoutError,
    OSError,
)
"""aiohttp's exceptions for a connection that failed or a response that was cut short."""
CONNECT_ERRORS = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, HandshakeFailed)
"""aiohttp's exceptions for a connection that was never established, so nothing was sent."""


UNPROCESSED = frozenset({DRAINING, STOPPED})
"""Problem types of requests that the service has certainly not processed."""


class Retry(Enum):
    """The condition for sending a request again."""

    ALWAYS = "the request is idempotent"
    IF_NOT_PROCESSED = "only when the service certainly has not processed it"


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A complete HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, kind: type[T]) -> T:
        """Decode the body as a record.

        Raises:
            AsgardError: the body does not match `kind`.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.DecodeError as error:
            raise AsgardError(
                f"This client ({__version__}) cannot read the service's response: {error}.",
                status=self.status,
            ) from error


def json_body(document: Mapping[str, Any]) -> Body:
    """Return a JSON document as a body; the caller sets the Content-Type."""
    encoded = msgspec.json.encode(document)
    return lambda: nullcontext(encoded)


class _Problem(msgspec.Struct, kw_only=True):
    detail: str
    type: str = "about:blank"
    errors: dict[str, list[str]] | None = None
    request_id: str | None = None


class Transport:
    """An HTTP session with the service, opened by the first request."""

    def __init__(self, address: Address, *, timeout: float, retry_for: float) -> None:
        self.address = address
        self.retry_for = retry_for
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections. A later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, *path: str, **params: str | int | None) -> Response:
        """Send a GET request, omitting parameters that are None."""
        return await self.request("GET", path, params=params)

    async def request(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        params: Mapping[str, str | int | None] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = nullcontext,
        retry: Retry = Retry.ALWAYS,
        budget: RetryBudget | None = None,
        missing_ok: bool = False,
    ) -> Response:
        """Send a request, retrying with increasing pauses where that is safe; return the response.

        With `missing_ok`, 404 after an attempt whose response was lost counts as success.

        Raises:
            AsgardError: the request was refused, or no response was received.
        """
        budget = budget or RetryBudget(self.retry_for)
        response_lost = False
        while True:
            try:
                with body() as data:
                    response = await self._send(method, path, params or {}, headers or {}, data)
            except ConnectionFailed as error:
                if error.sent and retry is Retry.IF_NOT_PROCESSED:
                    raise
                response_lost = response_lost or error.sent
                log.info("%s %s failed; retrying: %s", method, "/".join(path), error)
                await budget.pause(error)
                continue
            if response.status < 400 or (missing_ok and response_lost and response.status == 404):
                return response
            refusal = self._refusal(response)
            # a draining service refuses before doing anything; other 503s may come after some work
            unprocessed = isinstance(refusal, TooManyRequests) or refusal.kind in UNPROCESSED
            if not unprocessed and not (isinstance(refusal, Unavailable) and retry is Retry.ALWAYS):
                refusal.add_note(f"{method} {self.address.url_of(*path)}")
                raise refusal
            log.info("%s %s was refused; retrying: %s", method, "/".join(path), refusal)
            await budget.pause(refusal, _retry_after(response.headers))

    async def get_once(self, *path: str) -> Response:
        """Send a GET request without retries and return any response, errors included.

        Raises:
            ConnectionFailed: no response was received.
        """
        return await self._send("GET", path, {}, {}, None)

    async def websocket(
        self, *path: str, **params: str | int
    ) -> aiohttp.ClientWebSocketResponse | None:
        """Open a WebSocket; None if none is served at this path.

        Raises:
            Unauthorized: the token does not permit the request.
            Unavailable, TooManyRequests: the service cannot serve a WebSocket at the moment.
            ConnectionFailed: the service could not be reached.
        """
        url = URL(self.address.url_of(*path), encoded=True).update_query(params)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._open_session().ws_connect(
                    url, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_FRAME_BYTES
                )
        except aiohttp.ClientResponseError as error:
            # not chained: the exception holds the request's headers and with them the token
            status = error.status
        except CONNECTION_ERRORS as error:
            raise self._connection_failed(error) from error
        if status in {401, 403, 429} or status >= 500:
            hint = " If Asgard is stopped, start it with: asgard serve" if status == 503 else ""
            raise error_for(
                status, f"The log cannot be followed at the moment: HTTP {status}.{hint}"
            )
        return None

    async def _send(
        self,
        method: str,
        path: tuple[str, ...],
        params: Mapping[str, str | int | None],
        headers: Mapping[str, str],
        data: Any,
    ) -> Response:
        url = URL(self.address.url_of(*path), encoded=True)
        query = {name: value for name, value in params.items() if value is not None}
        async with self._responding(
            method, url.update_query(query) if query else url, headers, data
        ) as response:
            content = await response.read()
            return Response(status=response.status, headers=response.headers, body=content)

    @asynccontextmanager
    async def streamed(
        self, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a GET request for an encoded path; read the body of the response inside the context.

        Errors of the connection are those of `request`, but nothing is retried.

        Raises:
            AsgardError: the request was refused, or the connection failed.
        """
        url = URL(self.address.url + path, encoded=True)
        async with self._responding("GET", url, headers, None) as response:
            if response.status >= 400:
                content = await response.read()
                raise self._refusal(
                    Response(status=response.status, headers=response.headers, body=content)
                )
            yield response

    @asynccontextmanager
    async def _responding(
        self, method: str, url: URL, headers: Mapping[str, str], data: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._open_session().request(
                method,
                url,
                data=data,
                headers=headers,
                # a redirect would take the token to another host and turn a POST into a GET
                allow_redirects=False,
            ) as response:
                if response.status in {301, 302, 303, 307, 308}:
                    raise AsgardError(
                        f"{self.address.url} redirects to"
                        f" {response.headers.get('Location', 'nowhere')}; use that address.",
                        status=response.status,
                    )
                yield response
                return
        except aiohttp.ClientResponseError as error:
            # not chained: the exception holds the request's headers and with them the token
            message = error.message
        except aiohttp.ClientSSLError as error:
            raise AsgardError(
                f"The TLS connection to {self.address.url} failed: {error}"
            ) from error
        except CONNECTION_ERRORS as error:
            raise self._connection_failed(error) from error
        raise AsgardError(f"The server at {self.address.url} does not speak HTTP: {message}")

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            traces = aiohttp.TraceConfig()
            if self.address.needs_handshake:
                traces.on_connection_create_start.append(self._verify_server)
            self._session = aiohttp.ClientSession(
                trace_configs=[traces],
                middlewares=[_prevent_resending],
                headers={**self.address.headers, "User-Agent": f"asgard-client/{__version__}"},
                # limits the silence of the service; uploads and logs may take any length of time
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._timeout, sock_read=self._timeout
                ),
            )
        return self._session

    async def _verify_server(self, *_: Any) -> None:
        # for each connection: the service may have been replaced since the last one
        await verify(self.address, within=self._timeout)

    def _connection_failed(self, error: BaseException) -> ConnectionFailed:
        if isinstance(error, CONNECT_ERRORS):
            return ConnectionFailed(
                f"Asgard does not answer at {self.address.url} ({_describe(error)})."
                " Is it running? Start it with: asgard serve",
                sent=False,
            )
        if isinstance(error, TimeoutError):
            problem = f"did not respond within {self._timeout:g} s"
        else:
            problem = f"closed the connection ({_describe(error)})"
        return ConnectionFailed(
            f"Asgard at {self.address.url} {problem}. If it is not running, start it with:"
            " asgard serve"
        )

    def _refusal(self, response: Response) -> AsgardError:
        request_id = response.headers.get("X-Request-ID")
        if response.headers.get("Content-Type", "").partition(";")[0] == PROBLEM:
            try:
                problem = msgspec.json.decode(response.body, type=_Problem)
            except msgspec.DecodeError:
                pass
            else:
                return error_for(
                    response.status,
                    problem.detail,
                    errors=problem.errors,
                    request_id=problem.request_id or request_id,
                    kind=problem.type,
                )
        return error_for(
            response.status,
            f"The server at {self.address.url} answered HTTP {response.status}.",
            request_id=request_id,
        )


class _ConnectionLost(aiohttp.ClientConnectionError):
    """An established connection failed."""


async def _prevent_resending(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp resends some requests itself, which would hide a lost response
    try:
        return await handler(request)
    except CONNECT_ERRORS:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionLost(_describe(error)) from error


def _describe(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0
