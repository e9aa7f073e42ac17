"""Bounds on the requests in progress: in total, and per token or address."""

from dataclasses import dataclass

from aiohttp import web

from asgard_async.api.errors import TooManyRequests
from asgard_async.auth.token import Token
from asgard_async.config import HttpConfig

STREAMS = frozenset(
    {
        "/mlops/training/upload",
        "/mlops/training/jobs/{job_id}/logs",
        "/mlops/training/jobs/{job_id}/logs/ws",
        "/mlops/training/jobs/{job_id}/script",
    }
)
"""Routes whose requests may last as long as the client likes."""


@dataclass(kw_only=True)
class ClientRequests:
    """The requests of one client that are in progress."""

    client: str
    total: int = 0
    streams: int = 0


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
        self._by_client: dict[str, ClientRequests] = {}

    # two calls instead of a context manager, which would take longer than the counting

    def begin(self, request: web.Request, token: Token | None) -> ClientRequests:
        """Count an authenticated request; pass the result to `end` when it has been handled.

        Raises:
            TooManyRequests: there are too many, of this client or in total.
        """
        client = f"token {token.id}" if token is not None else f"address {request.remote}"
        requests = self._by_client.get(client) or ClientRequests(client=client)
        is_stream = _is_stream(request)
        if is_stream and requests.streams >= self._streams_per_client:
            raise TooManyRequests("logs, scripts and uploads", self._streams_per_client)
        if requests.total >= self._per_client:
            raise TooManyRequests("requests", self._per_client)
        if self._total >= self._limit:
            raise TooManyRequests("requests of all clients", self._limit)
        self._total += 1
        requests.total += 1
        requests.streams += is_stream
        self._by_client[client] = requests
        return requests

    def end(self, request: web.Request, requests: ClientRequests) -> None:
        """Stop counting a request."""
        self._total -= 1
        requests.total -= 1
        requests.streams -= _is_stream(request)
        if not requests.total:
            del self._by_client[requests.client]


def _is_stream(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in STREAMS
