"""Bounds on the requests in progress: in total, and per token or address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from asgard_async.api.errors import TooManyRequests
from asgard_async.api.http.requests import token_of
from asgard_async.config import HttpConfig

STREAMS = frozenset(
    {
        "/mlops/training/upload",
        "/mlops/training/jobs/{job_id}/files",
        "/mlops/training/jobs/{job_id}/files/{path}",
        "/mlops/training/jobs/{job_id}/logs",
        "/mlops/training/jobs/{job_id}/logs/ws",
        "/mlops/training/jobs/{job_id}/script",
    }
)
"""Routes whose requests may last as long as the client likes."""


class RequestsInProgress:
    """The requests in progress, so that no client takes the connections that others need.

    Some connections are reserved for requests that need no token, and some requests of each client
    for routes other than `STREAMS`.
    """

    def __init__(self, http: HttpConfig) -> None:
        self._limit = max(1, http.max_connections - max(1, http.max_connections // 16))
        self._per_client = http.max_requests_per_client
        self._streams_per_client = http.max_streams_per_client
        self._total = 0
        self._requests: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()

    @contextmanager
    def counting(self, request: web.Request) -> Iterator[None]:
        """Count an authenticated request inside the context.

        Raises:
            TooManyRequests: there are too many, of this client or in total.
        """
        token = token_of(request)
        client = f"token {token.id}" if token is not None else f"address {request.remote}"
        resource = request.match_info.route.resource
        is_stream = resource is not None and resource.canonical in STREAMS
        self._check(client, is_stream=is_stream)
        self._total += 1
        self._add(self._requests, client, 1)
        self._add(self._streams, client, is_stream)
        try:
            yield
        finally:
            self._total -= 1
            self._add(self._requests, client, -1)
            self._add(self._streams, client, -is_stream)

    def _check(self, client: str, *, is_stream: bool) -> None:
        if is_stream and self._streams[client] >= self._streams_per_client:
            raise TooManyRequests("logs, files, scripts and uploads", self._streams_per_client)
        if self._requests[client] >= self._per_client:
            raise TooManyRequests("requests", self._per_client)
        if self._total >= self._limit:
            raise TooManyRequests("requests of all clients", self._limit)

    @staticmethod
    def _add(counter: Counter[str], client: str, number: int) -> None:
        counter[client] += number
        if not counter[client]:
            del counter[client]
