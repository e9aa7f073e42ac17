"""Metrics of warm starts, read on every scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from asgard_async.domain.status import Start
from asgard_async.executors.local.warm.pool import WarmServers


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
