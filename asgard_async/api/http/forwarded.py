"""The client's address, scheme, host and path prefix, as forwarded by a trusted proxy.

aiohttp-remotes is unsuitable: its middlewares clone a request that is already being handled, which
loses the data stored with the request (its id, and that it is answered), and its strict middleware
rejects clients that do not connect through the proxy.
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from aiohttp import hdrs, web

from asgard_async.api.http.path_prefix import set_prefix

PREFIX = "X-Forwarded-Prefix"


def as_forwarded(request: web.BaseRequest, is_proxy: Callable[[str], bool]) -> web.BaseRequest:
    """Apply `X-Forwarded-*` to a request from a trusted proxy; return others unchanged.

    Each proxy appends to the header. The last address that is not a trusted proxy's is the
    client's; anything before that address may be forged.
    """
    set_prefix("")  # another client's request may have come before on the same connection
    if not is_proxy(request.remote or ""):
        return request
    set_prefix(_values(request, PREFIX)[-1])
    changed: dict[str, Any] = {}
    for text in reversed(_values(request, hdrs.X_FORWARDED_FOR)):
        if (address := _address_in(text)) is None:
            break
        changed["remote"] = address
        if not is_proxy(address):
            break
    scheme = _values(request, hdrs.X_FORWARDED_PROTO)[-1]
    if scheme in {"http", "https"}:
        changed["scheme"] = scheme
    if host := _values(request, hdrs.X_FORWARDED_HOST)[-1]:
        changed["host"] = host
    return request.clone(**changed) if changed else request


def _values(request: web.BaseRequest, name: str) -> list[str]:
    """Return the comma-separated values of a header; at least one, possibly empty."""
    return [value.strip() for value in ",".join(request.headers.getall(name, [])).split(",")]


def _address_in(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
