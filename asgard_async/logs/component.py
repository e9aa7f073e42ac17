"""Reading and following logs, as parts of the application."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from asgard_async.config.component import DATA
from asgard_async.logs.feed import Feeds
from asgard_async.logs.reader import LogReader
from asgard_async.logs.watch import LogWatch

LOG_OF = web.AppKey[Callable[[str], Path]]("log_of")
"""Where the log of a job lies; set by the executor's component."""
LOGS = web.AppKey("logs", LogReader)
FEEDS = web.AppKey("feeds", Feeds)


async def logs(app: web.Application) -> AsyncIterator[None]:
    """Read logs, and watch those that somebody follows."""
    log_watch = LogWatch(app[DATA].jobs)
    log_watch.open()
    app[LOGS] = LogReader(app[LOG_OF])
    app[FEEDS] = Feeds(app[LOG_OF], log_watch)
    yield
    log_watch.close()
