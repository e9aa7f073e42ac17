"""The executor of jobs, as part of the application.

To add an executor, add it to `EXECUTORS`; no code outside of this package depends on its kind.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from asgard_async.executors.base import Executor
from asgard_async.executors.local.component import local_executor
from asgard_async.logs.component import LOG_SOURCE

EXECUTOR = web.AppKey[Executor]("executor")
Factory = Callable[[web.Application], AbstractAsyncContextManager[Executor]]
EXECUTORS: Mapping[str, Factory] = {"local": local_executor}
"""The executors by name; each is a context in which it starts attempts and reads logs."""
DEFAULT = "local"


async def executor(app: web.Application) -> AsyncIterator[None]:
    """Run attempts of jobs."""
    async with EXECUTORS[DEFAULT](app) as opened:
        app[EXECUTOR] = opened
        app[LOG_SOURCE] = opened.logs
        yield
