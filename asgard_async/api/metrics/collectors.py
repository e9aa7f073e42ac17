"""Metrics that are read from the executor, whichever it is, on every scrape."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from asgard_async.executors.base import Executor


class IsolationCollector(Collector):
    """The isolation level of jobs."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def collect(self) -> Iterator[Metric]:
        """Yield the current level; yield nothing if no level is available."""
        if (level := self._executor.isolation) is not None:
            yield InfoMetricFamily(
                "asgard_isolation", "Isolation level of jobs.", value={"level": level}
            )


class LimitsCollector(Collector):
    """The mechanism that enforces each limit, as the label of a metric that is always 1."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def collect(self) -> Iterator[Metric]:
        """Yield the current mechanisms."""
        family = GaugeMetricFamily(
            "asgard_limits", "Mechanism that enforces each limit of jobs.", labels=["limit", "by"]
        )
        for limit, mechanism in self._executor.mechanisms.items():
            family.add_metric([limit, mechanism], 1)
        yield family
