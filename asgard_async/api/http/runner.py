"""What serves the application."""

import logging

from aiohttp import web

from asgard_async.api.http.server import Runner
from asgard_async.config.component import CONFIG
from asgard_async.core.open_files import make_room_for

logger = logging.getLogger(__name__)


def create_runner(app: web.Application, *, shutdown_timeout: float) -> web.AppRunner:
    """Create the runner that serves the application, with Asgard's connection limits.

    Raises the process's limit of open files as far as the connections need it.
    """
    wanted = app[CONFIG].http.max_connections
    room = make_room_for(wanted)
    if room < wanted:
        logger.warning(
            "only %d connections can be open, not [http] max_connections = %d: the hard limit of"
            " open files (ulimit -Hn, LimitNOFILE=) is too low",
            room,
            wanted,
        )
    return Runner(app, max_connections=room, access_log=None, shutdown_timeout=shutdown_timeout)
