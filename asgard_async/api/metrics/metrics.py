"""Figures for Prometheus: what is counted with each request, and what is looked up on being asked.

A registry of its own, so that two applications in one process do not share their figures.
"""

import time
from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
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
    """All figures of one application."""

    def __init__(self, *, slots: int) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._jobs = Gauge(
            "asgard_jobs", "Jobs that are known, by status.", ["status"], registry=registry
        )
        self._queue = Gauge("asgard_queue_length", "Jobs that wait for a slot.", registry=registry)
        self._running = Gauge(
            "asgard_jobs_running", "Jobs between queue and end.", registry=registry
        )
        self._in_phase = Gauge(
            "asgard_jobs_in_phase",
            "Jobs that have not ended, by phase.",
            ["phase"],
            registry=registry,
        )
        self._ended = Counter(
            "asgard_jobs_ended", "Jobs that have ended, by reason.", ["reason"], registry=registry
        )
        self._waits = Histogram(
            "asgard_job_wait_seconds",
            "Seconds from accepting a job to the start of its script: queue, environment, start.",
            ["start"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._runs = Histogram(
            "asgard_job_run_seconds",
            "Seconds that a script ran.",
            ["reason"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._disk_free = Gauge(
            "asgard_disk_free_bytes",
            "What may still be written on the disk of the data directory.",
            registry=registry,
        )
        self._disk_floor = Gauge(
            "asgard_disk_floor_bytes",
            "With less than that free no new jobs are taken.",
            registry=registry,
        )
        slots_gauge = Gauge("asgard_slots", "Jobs that may run at once.", registry=registry)
        slots_gauge.set(slots)
        self._mlflow_up = Gauge(
            "asgard_mlflow_up", "Whether MLflow answered when last asked.", registry=registry
        )
        self._mlflow_age = Gauge(
            "asgard_mlflow_snapshot_age_seconds",
            "Seconds since MLflow was last asked; NaN before the first time.",
            registry=registry,
        )

        labels = ["method", "route", "status"]
        self._requests = Counter(
            "asgard_http_requests", "Requests answered.", labels, registry=registry
        )
        self._seconds = Histogram(
            "asgard_http_request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            ["method", "route"],
            registry=registry,
        )
        self._by_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

        self.loop_lag = Histogram(
            "asgard_event_loop_lag_seconds",
            "How much later than due the event loop came to things, looked at four times a second.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self.log_readers = Gauge(
            "asgard_log_readers", "Who follows a job's log at this moment.", registry=registry
        )
        self._thrown_away = Counter(
            "asgard_thrown_away", "What [retention] has thrown away.", ["kind"], registry=registry
        )
        self._thrown_away_bytes = Counter(
            "asgard_thrown_away_bytes", "And what it took.", ["kind"], registry=registry
        )
        self.dropped_log_readers = Counter(
            "asgard_log_readers_dropped",
            "Readers of logs that were cut off since they took nothing.",
            registry=registry,
        )

    def add(self, collector: Collector) -> None:
        """Ask `collector`, too."""
        self._registry.register(collector)

    def count_end(self, job: Job) -> None:
        """Note a job that has ended."""
        if job.outcome is None:
            return
        self._ended.labels(job.outcome.reason).inc()
        if job.started_at is not None and job.start is not None:
            wait = (job.started_at - job.created_at).total_seconds()
            self._waits.labels(job.start).observe(max(0.0, wait))
        if job.duration_seconds is not None:
            self._runs.labels(job.outcome.reason).observe(job.duration_seconds)

    def count_removed(self, one: Removal) -> None:
        """Note what [retention] has thrown away."""
        self._thrown_away.labels(one.kind).inc()
        self._thrown_away_bytes.labels(one.kind).inc(one.size_bytes)

    def count_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Note an answered request."""
        known = method if method in METHODS else "other"
        answered, took = self._of_requests(known, route, status)
        answered.inc()
        took.observe(seconds)

    def _of_requests(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        # looking them up by their labels takes longer than counting
        if (figures := self._by_request.get((method, route, status))) is None:
            figures = (
                self._requests.labels(method, route, status),
                self._seconds.labels(method, route),
            )
            self._by_request[method, route, status] = figures
        return figures

    def render(
        self,
        counts: Mapping[Status, int],
        phases: Mapping[Phase, int],
        disk: FreeSpace,
        snapshot: TrackingSnapshot,
        *,
        age: float | None,
    ) -> bytes:
        """Everything in Prometheus' text format."""
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


def count_requests(metrics: Metrics) -> Middleware:
    """A middleware that counts every answer, to be put around the one that makes errors answers."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.perf_counter()
        response = await handler(request)
        resource = request.match_info.route.resource
        metrics.count_request(
            method=request.method,
            # never the path itself: anyone could make as many of them as they like
            route=resource.canonical if resource is not None else "unmatched",
            status=response.status,
            seconds=time.perf_counter() - begun,
        )
        return response

    return count
