"""Metrics that are read from other components on every scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from asgard_async.domain.status import Start
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector


class WarmCollector(Collector):
    """Fork servers, and the number of warm and cold starts."""

    def __init__(self, servers: WarmServers) -> None:
        self._servers = servers

    def collect(self) -> Iterator[Metric]:
        """Yield the current values."""
        yield GaugeMetricFamily(
            "asgard_warm_servers",
            "Fork servers that are ready or still importing.",
            value=self._servers.servers,
        )
        yield GaugeMetricFamily(
            "asgard_warm_servers_ready", "Fork servers that are ready.", value=self._servers.ready
        )
        starts = CounterMetricFamily(
            "asgard_job_starts",
            "Jobs started, by kind of start and reason for a cold one (empty for warm starts).",
            labels=["start", "cold_reason"],
        )
        for reason, count in self._servers.starts.items():
            start = Start.WARM if reason is None else Start.COLD
            starts.add_metric([start, reason or ""], count)
        yield starts


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
