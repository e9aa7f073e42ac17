"""Retention, as a part of the application."""

from collections.abc import AsyncIterator, Callable
from functools import partial

from aiohttp import web

from asgard_async.config.component import CONFIG
from asgard_async.core.backoff import Backoff
from asgard_async.core.component import BACKGROUND
from asgard_async.executors.component import EXECUTOR
from asgard_async.retention.collector import Collector
from asgard_async.retention.plan import Removal
from asgard_async.store.component import ARCHIVES, STORE

AFTER_FAILURE = Backoff(first_seconds=10.0, longest_seconds=3600.0, healthy_seconds=600.0)
"""Each collection measures all files of jobs, so a failed one is not repeated often."""

ON_REMOVAL = web.AppKey[Callable[[Removal], None]]("on_removal")
"""Optional: called with each item that was deleted."""


async def retention(app: web.Application) -> AsyncIterator[None]:
    """Delete expired items at intervals, as `[retention]` configures."""
    config = app[CONFIG]
    collector = Collector(
        store=app[STORE],
        archives=app[ARCHIVES],
        files=app[EXECUTOR].files,
        retention=config.retention,
        environments=config.environments,
    )
    on_removal = app.get(ON_REMOVAL, lambda removal: None)
    app[BACKGROUND].keep_running(
        "retention", partial(collector.run, on_removal), backoff=AFTER_FAILURE
    )
    yield
    await app[BACKGROUND].stop("retention")
