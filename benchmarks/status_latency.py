"""Latency of `/mlops/status` while MLflow is healthy, stopped, killed, or refuses connections.

    python -m benchmarks.status_latency [--requests 100] [--rounds 5]

The service that Asgard replaces took 35 s. The peer is `/health/live`, which reads no state.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, run
from benchmarks.embedded import SOON, mlflow_pids, mlflow_uri, warm_is_ready
from benchmarks.figures import Row, percentile
from tests.support.service import UNREACHABLE_MLFLOW, Service, running_service

PAUSE_SECONDS = 0.01  # so that requests coincide with the monitor's polls of MLflow
STATES = {
    "status-well": "is healthy",
    "status-stopped": "is stopped (SIGSTOP)",
    "status-killed": "was killed and starts again",
    "status-refusing": "refuses connections",
}


@dataclass(frozen=True)
class Size:
    """Requests per round and address, rounds."""

    requests: int = 100
    rounds: int = 5


async def row_of(service: Service, row_id: str, size: Size) -> Row:
    p99: dict[str, list[float]] = {"/health/live": [], "/mlops/status": []}
    for _ in range(size.rounds):
        for path, rounds in p99.items():
            seconds = []
            for _ in range(size.requests):
                begun = time.perf_counter()
                status, _ = await service.get(path)
                seconds.append(time.perf_counter() - begun)
                assert status == 200
                await asyncio.sleep(PAUSE_SECONDS)
            rounds.append(percentile(seconds, 99) * 1000)
    return Row(
        id=row_id,
        what=f"/mlops/status, one client, 99th percentile per round; MLflow {STATES[row_id]}",
        unit="ms",
        peer="/health/live",
        asgard=p99["/mlops/status"],
        peer_values=p99["/health/live"],
    )


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    if wanted - {"status-refusing"}:
        async with running_service(folder / "embedded", SOON) as service:
            await mlflow_uri(service)
            await warm_is_ready(service)
            yield await row_of(service, "status-well", size)
            for row_id, number in (
                ("status-stopped", signal.SIGSTOP),
                ("status-killed", signal.SIGKILL),
            ):
                for pid in mlflow_pids(service):
                    os.kill(pid, number)
                yield await row_of(service, row_id, size)
    if "status-refusing" in wanted:
        async with running_service(folder / "refusing", UNREACHABLE_MLFLOW) as service:
            yield await row_of(service, "status-refusing", size)


BENCH = Bench(ids=tuple(STATES), measure=measure, full=Size(), quick=Size(requests=50, rounds=2))

if __name__ == "__main__":
    run(BENCH, __doc__)
