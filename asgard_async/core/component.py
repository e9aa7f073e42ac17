"""The component of readiness and background tasks."""

from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.core.health import Readiness
from asgard_async.core.tasks import BackgroundTasks

READINESS = web.AppKey("readiness", Readiness)
BACKGROUND = web.AppKey("background", BackgroundTasks)


async def background(app: web.Application) -> AsyncIterator[None]:
    """Run the tasks that other components start, and cancel them at the end."""
    app[BACKGROUND] = tasks = BackgroundTasks()
    yield
    await tasks.stop()
