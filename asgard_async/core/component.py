"""Readiness and background tasks, as parts of the application."""

from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.core.health import ServiceReadiness
from asgard_async.core.tasks import BackgroundTasks

READINESS = web.AppKey("readiness", ServiceReadiness)
BACKGROUND = web.AppKey("background", BackgroundTasks)


async def background(app: web.Application) -> AsyncIterator[None]:
    """Run the background tasks of other components, and cancel them at the end."""
    app[BACKGROUND] = tasks = BackgroundTasks()
    yield
    await tasks.stop()
