"""Metrics that are read from other components on every scrape."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector


class IsolationCollector(Collector):
    """The isolation level of jobs."""

    def __init__(self, selector: IsolationSelector) -> None:
        self._selector = selector

    def collect(self) -> Iterator[Metric]:
        """Yield the current level; yield nothing if no level is available."""
        if (level := self._selector.level) is not None:
            yield InfoMetricFamily(
                "asgard_isolation", "Isolation level of jobs.", value={"level": level}
            )


class LimitsCollector(Collector):
    """The mechanism that enforces each limit, as the label of a metric that is always 1."""

    def __init__(self, enforcer: LimitEnforcer) -> None:
        self._enforcer = enforcer

    def collect(self) -> Iterator[Metric]:
        """Yield the current mechanisms."""
        family = GaugeMetricFamily(
            "asgard_limits", "Mechanism that enforces each limit of jobs.", labels=["limit", "by"]
        )
        for limit, mechanism in self._enforcer.mechanisms.items():
            family.add_metric([limit, mechanism], 1)
        yield family
