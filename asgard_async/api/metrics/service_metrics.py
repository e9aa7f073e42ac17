"""Prometheus metrics of the service, updated on events or set on every scrape.

Each application has a separate registry, so that two in one process do not share metrics.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from asgard_async.core.files.free_space import FreeSpace
from asgard_async.domain.job import Job
from asgard_async.domain.status import Phase, Status
from asgard_async.mlflow.monitor import TrackingSnapshot
from asgard_async.retention.plan import Removal

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"})

JOB_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of one application."""

    def __init__(self, *, slots: int) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._jobs = Gauge("asgard_jobs", "Jobs by status.", ["status"], registry=registry)
        self._queue = Gauge(
            "asgard_queue_length", "Jobs waiting for a free slot.", registry=registry
        )
        self._running = Gauge(
            "asgard_jobs_running",
            "Jobs that have left the queue and have not finished.",
            registry=registry,
        )
        self._in_phase = Gauge(
            "asgard_jobs_in_phase", "Unfinished jobs by phase.", ["phase"], registry=registry
        )
        self._ended = Counter(
            "asgard_jobs_ended", "Finished jobs by reason.", ["reason"], registry=registry
        )
        self._waits = Histogram(
            "asgard_job_wait_seconds",
            "Seconds from submission to script start: queue, environment and process start.",
            ["start"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._runs = Histogram(
            "asgard_job_run_seconds",
            "Run time of scripts in seconds.",
            ["reason"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._disk_free = Gauge(
            "asgard_disk_free_bytes",
            "Free space on the disk of the data directory.",
            registry=registry,
        )
        self._disk_floor = Gauge(
            "asgard_disk_floor_bytes",
            "Free space below which the service rejects new jobs.",
            registry=registry,
        )
        slots_gauge = Gauge("asgard_slots", "Jobs that may run at once.", registry=registry)
        slots_gauge.set(slots)
        self._mlflow_up = Gauge(
            "asgard_mlflow_up", "1 if MLflow answered the last check.", registry=registry
        )
        self._mlflow_age = Gauge(
            "asgard_mlflow_snapshot_age_seconds",
            "Seconds since the last check of MLflow; NaN before the first.",
            registry=registry,
        )

        labels = ["method", "route", "status"]
        self._requests = Counter(
            "asgard_http_requests", "Requests answered.", labels, registry=registry
        )
        self._seconds = Histogram(
            "asgard_http_request_seconds",
            "Seconds from the headers of a request to the end of its response.",
            ["method", "route"],
            registry=registry,
        )
        self._denied = Counter(
            "asgard_http_denied",
            "Requests denied: authentication, scope, or another site.",
            ["reason"],
            registry=registry,
        )
        self._by_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

        self.loop_lag = Histogram(
            "asgard_event_loop_lag_seconds",
            "Delay of the event loop, measured four times a second.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self.log_readers = Gauge(
            "asgard_log_readers", "Clients following a job's log.", registry=registry
        )
        self.dropped_log_readers = Counter(
            "asgard_log_readers_dropped",
            "Clients disconnected because they stopped reading a log.",
            registry=registry,
        )
        self._removed = [
            Counter(name, help_text, ["kind"], registry=registry)
            for name, help_text in (
                ("asgard_retention_removed", "Items deleted by [retention]."),
                ("asgard_thrown_away", "Deprecated: renamed to asgard_retention_removed_total."),
            )
        ]
        self._removed_bytes = [
            Counter(name, help_text, ["kind"], registry=registry)
            for name, help_text in (
                ("asgard_retention_removed_bytes", "Bytes freed by [retention]."),
                (
                    "asgard_thrown_away_bytes",
                    "Deprecated: renamed to asgard_retention_removed_bytes_total.",
                ),
            )
        ]

    def add(self, collector: Collector) -> None:
        """Include the metrics of `collector`."""
        self._registry.register(collector)

    def count_end(self, job: Job) -> None:
        """Count a finished job."""
        if job.outcome is None:
            return
        self._ended.labels(job.outcome.reason).inc()
        if job.started_at is not None and job.start is not None:
            wait = (job.started_at - job.created_at).total_seconds()
            self._waits.labels(job.start).observe(max(0.0, wait))
        if job.duration_seconds is not None:
            self._runs.labels(job.outcome.reason).observe(job.duration_seconds)

    def count_removed(self, removal: Removal) -> None:
        """Count an item deleted by [retention]."""
        for counter in self._removed:
            counter.labels(removal.kind).inc()
        for counter in self._removed_bytes:
            counter.labels(removal.kind).inc(removal.size_bytes)

    def count_denied(self, reason: str) -> None:
        """Count a request that was denied."""
        self._denied.labels(reason).inc()

    def count_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        label = method if method in METHODS else "other"
        requests, durations = self._of_requests(label, route, status)
        requests.inc()
        durations.observe(seconds)

    def _of_requests(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        # looking metrics up by their labels takes longer than counting
        if (metrics := self._by_request.get((method, route, status))) is None:
            metrics = (
                self._requests.labels(method, route, status),
                self._seconds.labels(method, route),
            )
            self._by_request[method, route, status] = metrics
        return metrics

    def render(
        self,
        counts: Mapping[Status, int],
        phases: Mapping[Phase, int],
        disk: FreeSpace,
        snapshot: TrackingSnapshot,
        *,
        age: float | None,
    ) -> bytes:
        """Render all metrics in the Prometheus text format."""
        for status in Status:
            self._jobs.labels(status).set(counts.get(status, 0))
        for phase in Phase:
            if phase is not Phase.FINISHED:
                self._in_phase.labels(phase).set(phases.get(phase, 0))
        self._disk_free.set(disk.available_bytes())
        self._disk_floor.set(disk.floor_bytes)
        self._queue.set(counts.get(Status.QUEUED, 0))
        self._running.set(counts.get(Status.RUNNING, 0))
        self._mlflow_up.set(snapshot.available)
        self._mlflow_age.set(float("nan") if age is None else age)
        return generate_latest(self._registry)
