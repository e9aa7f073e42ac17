"""Bounds on request bodies, which MLflow buffers as a whole, except those of artifacts."""

import zlib
from http import HTTPStatus

from .artifacts import is_streamed
from .asgi import App, Message, Receive, RequestRefused, Scope, Send, header, paced, refusal

CONCURRENT_BODIES = 4
"""Bodies of the maximum size that may be in memory at the same time."""
TRACES = "/v1/"
"""Paths of OpenTelemetry, the only ones at which MLflow decompresses bodies."""
ENCODINGS = frozenset({"gzip", "deflate"})
WINDOW_BITS = zlib.MAX_WBITS | 32
"""zlib or gzip, by their headers."""


class BodyLimits:
    """Refuses bodies that are too large, too many at a time, too slow, or packed too tightly."""

    def __init__(self, app: App, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._buffered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        receive = paced(scope, receive)
        if is_streamed(scope):
            await self._app(scope, receive, send)
            return
        declared = header(scope, b"content-length")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large(scope)
        receive = self._bounded(scope, receive)
        encoding = header(scope, b"content-encoding").strip().lower()
        if encoding not in {"", "identity"}:
            receive = self._bounded(scope, self._unpacked(scope, receive, encoding))
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            length = len(message.get("body", b""))
            size += length
            self._buffered += length
            if length and self._buffered > CONCURRENT_BODIES * self._max_bytes:
                raise refusal(
                    scope,
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "TEMPORARILY_UNAVAILABLE",
                    "MLflow is processing too many large requests; try again in a second.",
                )
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._buffered -= size

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                raise self._too_large(scope)
            return message

        return bounded

    def _unpacked(self, scope: Scope, receive: Receive, encoding: str) -> Receive:
        """Decompress a body here, since MLflow would do so without a bound.

        The result has at most one byte more than a body may have.
        """
        if encoding not in ENCODINGS or not scope["path"].startswith(TRACES):
            raise refusal(
                scope,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "INVALID_PARAMETER_VALUE",
                "Send the body uncompressed; only traces may use gzip or deflate.",
            )
        removed = {b"content-encoding", b"content-length"}
        scope["headers"] = [item for item in scope["headers"] if item[0] not in removed]
        decompressor = zlib.decompressobj(WINDOW_BITS)
        size = 0

        async def unpacked() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] != "http.request":
                return message
            try:
                content = decompressor.decompress(
                    message.get("body", b""), self._max_bytes + 1 - size
                )
            except zlib.error:
                raise refusal(
                    scope,
                    HTTPStatus.BAD_REQUEST,
                    "INVALID_PARAMETER_VALUE",
                    f"The body is not valid {encoding}.",
                ) from None
            size += len(content)
            return {**message, "body": content}

        return unpacked

    def _too_large(self, scope: Scope) -> RequestRefused:
        return refusal(
            scope,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "RESOURCE_LIMIT_EXCEEDED",
            f"The body exceeds {self._max_bytes} bytes ([mlflow] max_body_bytes); log large data as"
            " artifacts.",
        )
