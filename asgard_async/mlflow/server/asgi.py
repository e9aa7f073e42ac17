"""The parts of ASGI that the middleware shares: headers, refusals, and reading of bodies."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REFUSAL = "asgard.refusal"
"""The key of a request's refusal in its scope."""
DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 5.0
"""Limits on what is read of a refused body: most clients read the response only after sending."""
STALLED_SECONDS = 30.0
RATE_AFTER_SECONDS = 10.0
MIN_RATE = 1024
"""Minimum rate of a body in bytes per second, after its first seconds."""


class RequestRefused(Exception):
    """A request is refused; the message tells its sender what to do."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def refusal(scope: Scope, status: HTTPStatus, code: str, message: str) -> RequestRefused:
    """Return the exception to raise, and record it.

    MLflow's application catches exceptions, so `Refusals` responds to what is recorded.
    """
    scope[REFUSAL] = refused = RequestRefused(status, code, message)
    return refused


def header(scope: Scope, name: bytes) -> str:
    """Return the value of a header; empty if it is missing."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


class Refusals:
    """Responds to requests that are refused anywhere below, even while their body is read."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; refuse everything but HTTP."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # MLflow has none
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_ended = has_responded = False

        async def observed_receive() -> Message:
            nonlocal has_ended
            message = await receive()
            has_ended = not message.get("more_body", False)
            return message

        async def observed_send(message: Message) -> None:
            nonlocal has_responded
            if REFUSAL not in scope or has_responded:
                has_responded = True
                await send(message)

        try:
            await self._app(scope, observed_receive, observed_send)
        except Exception:
            if REFUSAL not in scope:
                raise
        if REFUSAL in scope and not has_responded:
            if not has_ended:
                await _drain(receive)
            await _respond(send, scope[REFUSAL])


async def _drain(receive: Receive) -> None:
    size = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while size < DRAIN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def _respond(send: Send, refused: RequestRefused) -> None:
    body = json.dumps({"error_code": refused.code, "message": str(refused)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if refused.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    if refused.status is HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Basic realm="MLflow", Bearer'))
    await send({"type": "http.response.start", "status": int(refused.status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes | None:
    """Return the whole body; None if the client disconnects."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def paced(scope: Scope, receive: Receive) -> Receive:
    """Return a `receive` that refuses bodies that stall or are sent too slowly."""
    start = time.monotonic()
    size = 0
    has_ended = False

    async def receive_in_time() -> Message:
        nonlocal size, has_ended
        if has_ended:  # MLflow now waits for the client to disconnect, for as long as it takes
            return await receive()
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                message = await receive()
        except TimeoutError:
            raise _too_slow(scope) from None
        size += len(message.get("body", b""))
        has_ended = not message.get("more_body", False)
        seconds = time.monotonic() - start
        if not has_ended and seconds > RATE_AFTER_SECONDS and size < seconds * MIN_RATE:
            raise _too_slow(scope)
        return message

    return receive_in_time


def _too_slow(scope: Scope) -> RequestRefused:
    return refusal(
        scope,
        HTTPStatus.REQUEST_TIMEOUT,
        "REQUEST_LIMIT_EXCEEDED",
        f"The body arrives too slowly; send at least {MIN_RATE} bytes per second.",
    )
