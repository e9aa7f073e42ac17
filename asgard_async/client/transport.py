"""Requests and their answers: what is tried again, and which exception an answer becomes."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any, TypeVar

import aiohttp
import msgspec
from yarl import URL

from asgard_async import __version__
from asgard_async.client.address import Address
from asgard_async.client.errors import (
    DRAINING,
    AsgardError,
    ConnectionFailed,
    TooManyRequests,
    Unavailable,
    error_of,
)
from asgard_async.client.patience import Patience

T = TypeVar("T")
Body = Callable[[], AbstractContextManager[Any]]
"""Makes the body of a request anew for each time that it is sent."""

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
MAX_FRAME_BYTES = 64 << 20
HEARTBEAT_SECONDS = 20.0
# An answer that was cut short, or none; what aiohttp raises for a connection that fails.
BROKEN = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError, OSError)
# The connection was never there, so nothing was sent.
UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class Repeat(Enum):
    """When a request may be sent again."""

    ALWAYS = "doing it twice is doing it once"
    UNDONE = "only when the service has surely not done it"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, kind: type[T]) -> T:
        """The body as a record.

        Raises:
            AsgardError: it is none.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.DecodeError as error:
            raise AsgardError(
                f"The service answered what this client ({__version__}) cannot read: {error}.",
                status=self.status,
            ) from error


def json_body(document: Mapping[str, Any]) -> Body:
    """A document as a body; its Content-Type is the caller's to say."""
    encoded = msgspec.json.encode(document)
    return lambda: nullcontext(encoded)


class _Problem(msgspec.Struct, kw_only=True):
    detail: str
    type: str = "about:blank"
    errors: dict[str, list[str]] | None = None
    request_id: str | None = None


class Transport:
    """A session with the service, opened by the first request."""

    def __init__(self, address: Address, *, timeout: float, retry_for: float) -> None:
        self.address = address
        self.retry_for = retry_for
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection. A later request opens them again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, *path: str, **params: str | int | None) -> Answer:
        """Ask for something; parameters that are None are left out."""
        return await self.request("GET", path, params=params)

    async def request(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        params: Mapping[str, str | int | None] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = nullcontext,
        repeat: Repeat = Repeat.ALWAYS,
        patience: Patience | None = None,
        gone: bool = False,
    ) -> Answer:
        """Send a request, again with growing pauses where that is safe, and read the answer.

        With `gone`, 404 after a try whose answer got lost means that it did what it should.

        Raises:
            AsgardError: it was refused, or no answer came.
        """
        patience = patience or Patience(self.retry_for)
        lost = False
        while True:
            try:
                with body() as data:
                    answer = await self._send(method, path, params or {}, headers or {}, data)
            except ConnectionFailed as error:
                if error.sent and repeat is Repeat.UNDONE:
                    raise
                lost = lost or error.sent
                log.info("%s %s failed, trying again: %s", method, "/".join(path), error)
                await patience.bear(error)
                continue
            if answer.status < 400 or (gone and lost and answer.status == 404):
                return answer
            refusal = self._refusal(answer)
            # a stopping service refuses before it does anything; other 503 may come from behind
            passing = isinstance(refusal, TooManyRequests) or refusal.kind == DRAINING
            if not passing and not (isinstance(refusal, Unavailable) and repeat is Repeat.ALWAYS):
                refusal.add_note(f"{method} {self.address.of(*path)}")
                raise refusal
            log.info("%s %s was refused, trying again: %s", method, "/".join(path), refusal)
            await patience.bear(refusal, _retry_after(answer.headers))

    async def once(self, *path: str) -> Answer:
        """Ask for something once and take any answer, refusals too.

        Raises:
            ConnectionFailed: none came.
        """
        return await self._send("GET", path, {}, {}, None)

    async def websocket(
        self, *path: str, **params: str | int
    ) -> aiohttp.ClientWebSocketResponse | None:
        """Open a WebSocket; None when none is served there.

        Raises:
            Unauthorized: the token does not allow it.
            Unavailable, TooManyRequests: not at the moment.
            ConnectionFailed: the service could not be reached.
        """
        url = URL(self.address.of(*path), encoded=True).update_query(params)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._opened().ws_connect(
                    url, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_FRAME_BYTES
                )
        except aiohttp.ClientResponseError as error:
            # not chained: the exception holds the request's headers and with them the token
            status = error.status
        except BROKEN as error:
            raise self._failed(error) from error
        if status in {401, 403, 429} or status >= 500:
            raise error_of(status, f"The log cannot be followed at the moment: HTTP {status}.")
        return None

    async def _send(
        self,
        method: str,
        path: tuple[str, ...],
        params: Mapping[str, str | int | None],
        headers: Mapping[str, str],
        data: Any,
    ) -> Answer:
        url = URL(self.address.of(*path), encoded=True)
        given = {name: value for name, value in params.items() if value is not None}
        try:
            async with self._opened().request(
                method,
                url.update_query(given) if given else url,
                data=data,
                headers=headers,
                # elsewhere is not where the token belongs, and a POST would become a GET
                allow_redirects=False,
            ) as response:
                content = await response.read()
                if response.status in {301, 302, 303, 307, 308}:
                    raise AsgardError(
                        f"{self.address.url} leads elsewhere, to"
                        f" {response.headers.get('Location', 'nowhere')}; use that address.",
                        status=response.status,
                    )
                return Answer(status=response.status, headers=response.headers, body=content)
        except aiohttp.ClientResponseError as error:
            # not chained: the exception holds the request's headers and with them the token
            message = error.message
        except aiohttp.ClientSSLError as error:
            raise AsgardError(f"{self.address.url} cannot be trusted: {error}") from error
        except BROKEN as error:
            raise self._failed(error) from error
        raise AsgardError(f"What answers at {self.address.url} does not speak HTTP: {message}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                middlewares=[_send_once],
                headers={**self.address.headers, "User-Agent": f"asgard-client/{__version__}"},
                # how long the service may be silent; uploads and logs take as long as they take
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._timeout, sock_read=self._timeout
                ),
            )
        return self._session

    def _failed(self, error: BaseException) -> ConnectionFailed:
        if isinstance(error, UNSENT):
            return ConnectionFailed(
                f"Asgard does not answer at {self.address.url} ({_words(error)})."
                " Is it running? It is started with: asgard serve",
                sent=False,
            )
        if isinstance(error, TimeoutError):
            why = f"was silent for {self._timeout:g} s"
        else:
            why = f"broke the connection off ({_words(error)})"
        return ConnectionFailed(
            f"Asgard at {self.address.url} {why}. If it does not run any more, it is started with:"
            " asgard serve"
        )

    def _refusal(self, answer: Answer) -> AsgardError:
        request_id = answer.headers.get("X-Request-ID")
        if answer.headers.get("Content-Type", "").partition(";")[0] == PROBLEM:
            try:
                problem = msgspec.json.decode(answer.body, type=_Problem)
            except msgspec.DecodeError:
                pass
            else:
                return error_of(
                    answer.status,
                    problem.detail,
                    errors=problem.errors,
                    request_id=problem.request_id or request_id,
                    kind=problem.type,
                )
        return error_of(
            answer.status,
            f"What answers at {self.address.url} refuses with HTTP {answer.status}.",
            request_id=request_id,
        )


class _BrokenOff(aiohttp.ClientConnectionError):
    """The connection failed after it had been there."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp sends some requests again by itself, and nobody would know that an answer was lost
    try:
        return await handler(request)
    except UNSENT:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenOff(_words(error)) from error


def _words(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def _retry_after(headers: Mapping[str, str]) -> float:
    given = headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdigit() else 0.0
