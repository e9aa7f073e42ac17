"""What a trusted proxy says of the client that it stands for.

Not aiohttp-remotes: its middlewares clone a request that has begun, so that what is kept with it
(its id, that it is answered) is lost, and its strict one refuses whoever comes without the proxy.
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from aiohttp import hdrs, web


def as_forwarded(request: web.BaseRequest, is_proxy: Callable[[str], bool]) -> web.BaseRequest:
    """The request, with the client's address, scheme and host if it comes from a trusted proxy.

    Each proxy appends to what it got: what stands before the last address that is no proxy's is
    what the client made up.
    """
    if not is_proxy(request.remote or ""):
        return request
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
    """What stands under a name, at least one text."""
    return [word.strip() for word in ",".join(request.headers.getall(name, [])).split(",")]


def _address_in(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
