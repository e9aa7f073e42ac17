"""The sockets on which the service accepts connections, as part of the application."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from asgard_async.config.component import CONFIG
from asgard_async.supervisor.component import HELD_SOCKETS
from asgard_async.supervisor.shim.socket_holder import SERVICE
from asgard_async.supervisor.tcp_listeners import BACKLOG, Addresses, listen

logger = logging.getLogger(__name__)

LISTENERS = web.AppKey("listeners", list[socket.socket])
"""Set to an empty list by who serves the application; filled before any job can start."""
SYSTEMD_SOCKETS = web.AppKey("systemd_sockets", Sequence[socket.socket])


async def listening(app: web.Application) -> AsyncIterator[None]:
    """Bind the ports of the service, or take them over from the last one or from systemd."""
    listeners = app.get(LISTENERS)
    if listeners is None:  # served by something else, as in tests
        yield
        return
    config, held = app[CONFIG].server, app[HELD_SOCKETS]
    addresses = await asyncio.to_thread(Addresses.of, config.host)
    passed = app.get(SYSTEMD_SOCKETS, ())
    listeners += listen(addresses, config.port, earlier=[*passed, *held.take(SERVICE)])
    unused = [sock for sock in passed if sock not in listeners]
    if unused:
        logger.warning(
            "systemd passes sockets for another address than [server] host and port;"
            " run `asgard service install` again"
        )
    # systemd holds its own; if it could not bind them again, `systemctl restart` would fail
    held.hold(SERVICE, [sock for sock in listeners if sock not in passed])
    yield
    for sock in listeners:
        sock.close()


async def accept_connections(runner: web.AppRunner) -> Sequence[str]:
    """Accept connections on the listeners of a runner's application; return their URLs."""
    listeners = runner.app[LISTENERS]
    runner.app[HELD_SOCKETS].serving()
    for sock in listeners:
        await web.SockSite(runner, sock, backlog=BACKLOG).start()
    return [_url(sock) for sock in listeners]


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
