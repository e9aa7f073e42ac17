"""The location of the data directory, disclosed only to the service's own user on this machine."""

import asyncio
import ipaddress
import os
from typing import Any

from aiohttp import web

from asgard_async.auth.component import INSTANCE
from asgard_async.config.component import DATA
from asgard_async.core.tcp_table import owner_of_socket

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
"""Headers of proxies, whose clients may be anybody."""


async def identity_for_own_user(request: web.Request) -> dict[str, Any]:
    """Return the instance and the data directory, or nothing for anybody but the own user."""
    if request.transport is None or any(header in request.headers for header in FORWARDED):
        return {}
    peer = request.transport.get_extra_info("peername")
    own = request.transport.get_extra_info("sockname")
    if not isinstance(peer, tuple) or not isinstance(own, tuple):
        return {}
    if not ipaddress.ip_address(peer[0]).is_loopback:
        return {}
    uid = await asyncio.to_thread(owner_of_socket, peer[:2], own[:2])
    if uid != os.geteuid():
        return {}
    return {"instance": request.app[INSTANCE], "data_dir": str(request.app[DATA].root.absolute())}
