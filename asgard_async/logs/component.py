"""Reading and following of logs, as parts of the application."""

from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.logs.feed import Feeds
from asgard_async.logs.reader import LogReader
from asgard_async.logs.source import LogSource

LOG_SOURCE = web.AppKey[LogSource]("log_source")
"""The logs of the executor's jobs; set by the executor's component."""
LOGS = web.AppKey("logs", LogReader)
FEEDS = web.AppKey("feeds", Feeds)


async def logs(app: web.Application) -> AsyncIterator[None]:
    """Provide the reader and the feeds of logs."""
    app[LOGS] = LogReader(app[LOG_SOURCE])
    app[FEEDS] = Feeds(app[LOG_SOURCE])
    yield
