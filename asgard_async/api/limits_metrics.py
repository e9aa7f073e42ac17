"""By what limits are kept, for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from asgard_async.execution.limits.keeping import Keeping


class LimitsCollector(Collector):
    """One figure for each limit, which is always 1."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping

    def collect(self) -> Iterator[Metric]:
        """What is so now."""
        family = GaugeMetricFamily(
            "asgard_limits", "By what each limit of jobs is kept.", labels=["limit", "by"]
        )
        for limit, by in self._keeping.by.items():
            family.add_metric([limit, by], 1)
        yield family
