"""What is refused before anything is asked: requests that browsers send for somebody else.

A page of any site can make a browser send requests to this address, and by rebinding a name of its
own to our address even read the answers (DNS rebinding: CVE-2025-62593 was that of Ray). Neither
helps without a token, but while the API is open they must not get in.
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

ALWAYS_OURS = frozenset({"localhost"})


def refuse_foreign(request: web.Request, *, allowed_hosts: Collection[str]) -> None:
    """Refuse what is not meant for us, or not by somebody who means it.

    Raises:
        ForeignHost: it names a host that we do not go by.
        ForeignOrigin: it would change something, or open a WebSocket, for a page of another site.
        UnsupportedMediaType: its body is of a type that any page may send without asking.
        MalformedBody: it names no host, or two.
    """
    _refuse_foreign_host(request, allowed_hosts)
    if request.method in SAFE_METHODS and not _is_upgrade(request):
        return
    site = request.headers.get("Sec-Fetch-Site", "none")
    origins = request.headers.getall(hdrs.ORIGIN, [])
    if site not in {"same-origin", "none"} or not all(_is_of(o, request.host) for o in origins):
        raise ForeignOrigin
    if request.body_exists and request.content_type not in BODY_TYPES:
        raise UnsupportedMediaType(
            "Send the body as JSON, with Content-Type: application/json; an upload may be"
            " multipart/form-data as well."
        )


def _refuse_foreign_host(request: web.Request, allowed: Collection[str]) -> None:
    hosts = request.headers.getall(hdrs.HOST, [])
    if not hosts and request.version < (1, 1):
        return  # no browser speaks that
    if len(hosts) != 1:
        raise MalformedBody("The request must name one Host.")
    # what a trusted proxy passes on in X-Forwarded-Host must be ours as well
    for name in {_name_in(hosts[0]), _name_in(request.host)}:
        # an address cannot be rebound
        if name not in ALWAYS_OURS and name not in allowed and not _is_address(name):
            raise ForeignHost


@lru_cache(maxsize=256)  # with each request, and mostly the same
def _name_in(authority: str) -> str:
    match = _authority.fullmatch(authority)
    return (match[1] or match[2]).lower().rstrip(".") if match else ""


@lru_cache(maxsize=256)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_of(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _is_upgrade(request: web.Request) -> bool:
    return hdrs.UPGRADE in request.headers
