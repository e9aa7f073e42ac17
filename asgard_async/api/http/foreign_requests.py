"""Rejection of requests that a browser sends on behalf of another site.

Any web page can make a browser send requests to this service and, by rebinding its own host name to
the service's address, even read the responses (DNS rebinding; Ray's CVE-2025-62593). Tokens prevent
both, but the API may be open.
"""

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from asgard_async.api.errors import ForeignHost, ForeignOrigin, MalformedBody, UnsupportedMediaType

SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
BODY_TYPES = frozenset({"application/json", "multipart/form-data"})
_authority = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?")

ALWAYS_ALLOWED = frozenset({"localhost"})


def refuse_foreign(request: web.Request, *, allowed_hosts: Collection[str]) -> None:
    """Reject a request for another host, or from a page of another site.

    Raises:
        ForeignHost: the Host header names a host that is not allowed.
        ForeignOrigin: a page of another site asks for a change or for a WebSocket.
        UnsupportedMediaType: the body has a type that any page can send without a preflight.
        MalformedBody: the request has no Host header, or several.
    """
    _refuse_foreign_host(request, allowed_hosts)
    if request.method in SAFE_METHODS and not _is_upgrade(request):
        return
    site = request.headers.get("Sec-Fetch-Site", "none")
    origins = request.headers.getall(hdrs.ORIGIN, [])
    if site not in {"same-origin", "none"} or not all(
        _has_host(origin, request.host) for origin in origins
    ):
        raise ForeignOrigin
    if request.body_exists and request.content_type not in BODY_TYPES:
        raise UnsupportedMediaType(
            "Send the body as JSON, with Content-Type: application/json; uploads may also be"
            " multipart/form-data."
        )


def _refuse_foreign_host(request: web.Request, allowed: Collection[str]) -> None:
    hosts = request.headers.getall(hdrs.HOST, [])
    if not hosts and request.version < (1, 1):
        return  # no browser speaks HTTP/1.0
    if len(hosts) != 1:
        raise MalformedBody("The request must have exactly one Host header.")
    # a host that a trusted proxy passes on in X-Forwarded-Host must be allowed too
    for name in {_host_name_in(hosts[0]), _host_name_in(request.host)}:
        # an IP address cannot be rebound
        if name not in ALWAYS_ALLOWED and name not in allowed and not _is_ip_address(name):
            raise ForeignHost


@lru_cache(maxsize=256)  # called for every request, mostly with the same name
def _host_name_in(authority: str) -> str:
    match = _authority.fullmatch(authority)
    return (match[1] or match[2]).lower().rstrip(".") if match else ""


@lru_cache(maxsize=256)
def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _has_host(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _is_upgrade(request: web.Request) -> bool:
    return hdrs.UPGRADE in request.headers
