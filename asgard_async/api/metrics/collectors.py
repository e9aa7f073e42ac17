"""Figures for Prometheus that are looked up on being asked, each at what knows them."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from asgard_async.domain.status import Start
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector


class WarmCollector(Collector):
    """Fork servers, and how jobs were started."""

    def __init__(self, servers: WarmServers) -> None:
        self._servers = servers

    def collect(self) -> Iterator[Metric]:
        """The present figures."""
        yield GaugeMetricFamily(
            "asgard_warm_servers", "Fork servers, importing or ready.", value=self._servers.servers
        )
        yield GaugeMetricFamily(
            "asgard_warm_servers_ready", "Fork servers that are ready.", value=self._servers.ready
        )
        starts = CounterMetricFamily(
            "asgard_job_starts",
            "Jobs started, by how and why cold (empty for warm ones).",
            labels=["start", "cold_reason"],
        )
        for reason, count in self._servers.starts.items():
            start = Start.WARM if reason is None else Start.COLD
            starts.add_metric([start, reason or ""], count)
        yield starts


class IsolationCollector(Collector):
    """The rung that jobs are on."""

    def __init__(self, selector: IsolationSelector) -> None:
        self._selector = selector

    def collect(self) -> Iterator[Metric]:
        """The present rung, nothing where none works."""
        if (level := self._selector.level) is not None:
            yield InfoMetricFamily(
                "asgard_isolation", "What keeps jobs from harming others.", value={"level": level}
            )


class LimitsCollector(Collector):
    """By what limits are kept: one figure for each, which is always 1."""

    def __init__(self, enforcer: LimitEnforcer) -> None:
        self._enforcer = enforcer

    def collect(self) -> Iterator[Metric]:
        """What is so now."""
        family = GaugeMetricFamily(
            "asgard_limits", "By what each limit of jobs is kept.", labels=["limit", "by"]
        )
        for limit, by in self._enforcer.mechanisms.items():
            family.add_metric([limit, by], 1)
        yield family
