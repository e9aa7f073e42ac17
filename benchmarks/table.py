"""All benchmarks, in the order of the table: those with targets from issue 5 first."""

from typing import Any

from benchmarks import (
    accepts,
    environments,
    guard,
    isolation,
    job_cost,
    lists,
    logs,
    mlflow_start,
    service_memory,
    service_start,
    status,
    status_latency,
    upload_memory,
    warm,
)
from benchmarks.bench import Bench

BENCHES: dict[str, Bench[Any]] = {
    "warm": warm.BENCH,
    "job_cost": job_cost.BENCH,
    "accepts": accepts.BENCH,
    "status": status.BENCH,
    "lists": lists.BENCH,
    "service_memory": service_memory.BENCH,
    "mlflow_start": mlflow_start.BENCH,
    "guard": guard.BENCH,
    "service_start": service_start.BENCH,
    "status_latency": status_latency.BENCH,
    "upload_memory": upload_memory.BENCH,
    "logs": logs.BENCH,
    "environments": environments.BENCH,
    "isolation": isolation.BENCH,
}
"""Benchmarks by module name."""

IDS = tuple(row_id for bench in BENCHES.values() for row_id in bench.ids)
