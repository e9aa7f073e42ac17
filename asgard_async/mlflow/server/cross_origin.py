"""Refusal of requests that web pages of other origins send.

MLflow answers pages of any loopback origin, with credentials, and accepts names such as
`10.example.com` as private addresses. On a machine that runs jobs, any of them can serve a page on
a loopback port.
"""

import ipaddress
import os
from http import HTTPStatus
from urllib.parse import urlsplit

from .asgi import App, Receive, Scope, Send, header, refusal

ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
ALLOWED_ORIGINS = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
"""MLflow's own settings: an administrator who sets them is responsible for what they allow."""
SAFE_METHODS = frozenset({"GET", "HEAD"})
LOCAL_NAMES = frozenset({"localhost"})


class CrossOrigin:
    """Hides other origins from MLflow, which then allows them nothing, and refuses their writes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._checks_hosts = not os.environ.get(ALLOWED_HOSTS)
        self._origins = frozenset(
            origin.strip() for origin in os.environ.get(ALLOWED_ORIGINS, "").split(",")
        ) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host = header(scope, b"host")
        if self._checks_hosts and not _is_own_host(host):
            raise refusal(
                scope,
                HTTPStatus.FORBIDDEN,
                "PERMISSION_DENIED",
                f"MLflow is not known as this host; to allow it, set {ALLOWED_HOSTS}.",
            )
        origin = header(scope, b"origin")
        if origin and origin not in self._origins and "*" not in self._origins:
            if scope["method"] not in SAFE_METHODS and not _is_same(origin, host):
                raise refusal(
                    scope,
                    HTTPStatus.FORBIDDEN,
                    "PERMISSION_DENIED",
                    f"Pages of other origins cannot use MLflow; to allow it, set {ALLOWED_ORIGINS}",
                )
            scope["headers"] = [item for item in scope["headers"] if item[0] != b"origin"]
        await self._app(scope, receive, send)


def _is_own_host(host: str) -> bool:
    """Return whether a Host header is an address or a local name: no page can have rebound it."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in LOCAL_NAMES:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    return origin.partition("://")[2].lower() == host.lower()
