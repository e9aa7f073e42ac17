"""The component of the Prometheus metrics."""

from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.api.metrics.collectors import IsolationCollector, LimitsCollector
from asgard_async.api.metrics.service_metrics import Metrics
from asgard_async.config.component import CONFIG, OBSERVE_LOOP_LAG
from asgard_async.executors.component import EXECUTOR
from asgard_async.retention.component import ON_REMOVAL
from asgard_async.store.component import ON_JOB_END

METRICS = web.AppKey("metrics", Metrics)


def set_up_metrics(app: web.Application) -> None:
    """Add the metrics, and the callbacks with which other components report to them."""
    app[METRICS] = metrics = Metrics(slots=app[CONFIG].jobs.slots)
    app[ON_JOB_END] = metrics.count_end
    app[ON_REMOVAL] = metrics.count_removed
    app[OBSERVE_LOOP_LAG] = metrics.loop_lag.observe


async def metrics(app: web.Application) -> AsyncIterator[None]:
    """Add the metrics that are read from the executor."""
    executor = app[EXECUTOR]
    for collector in (
        *executor.collectors,
        IsolationCollector(executor),
        LimitsCollector(executor),
    ):
        app[METRICS].add(collector)
    yield
