"""The runner of the application, with the open files that its connections need."""

import logging

from aiohttp import web

from asgard_async.api.http.server import Runner
from asgard_async.config.component import CONFIG
from asgard_async.core.open_files import raise_limit_for

logger = logging.getLogger(__name__)


def create_runner(app: web.Application, *, shutdown_timeout: float) -> web.AppRunner:
    """Create the runner of the application, with Asgard's connection limits.

    Raises the process's limit on open files as far as the connections need.
    """
    requested = app[CONFIG].http.max_connections
    available = raise_limit_for(requested)
    if available < requested:
        logger.warning(
            "only %d connections can be open, not [http] max_connections = %d: the hard limit of"
            " open files (ulimit -Hn, LimitNOFILE=) is too low",
            available,
            requested,
        )
    return Runner(
        app, max_connections=available, access_log=None, shutdown_timeout=shutdown_timeout
    )
