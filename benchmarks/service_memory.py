"""Memory of the service: idle, and after many jobs.

    python -m benchmarks.service_memory [--jobs 10000]

Resident memory of the service's own process. The jobs are real, one line long, and their records
are kept. Ten thousand take about ten minutes, since each starts several processes on the same two
cores.
"""

import asyncio
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, run
from benchmarks.embedded import warm_is_ready
from benchmarks.figures import Row
from benchmarks.memory import rss_bytes
from benchmarks.peers.bare import bare_start
from tests.support.service import UNREACHABLE_MLFLOW, Service, running_service

SETTINGS = {**UNREACHABLE_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "4"}
AHEAD = 100
"""Jobs to keep in the queue."""
POLL_SECONDS = 0.2
"""Between two polls: asking for each job would cost as much as running it."""


@dataclass(frozen=True)
class Size:
    """Jobs."""

    jobs: int = 10_000


async def run_jobs(service: Service, jobs: int) -> None:
    """Run this many one-line jobs to their end."""

    async def counts() -> dict[str, int]:
        _, status = await service.get("/mlops/status")
        found: dict[str, int] = status["jobs"]
        return found

    before = (await counts())["completed"]
    submitted = 0
    while (now := await counts())["completed"] < before + jobs:
        assert not now["failed"], now
        for _ in range(min(AHEAD - now["queued"], jobs - submitted)):
            await service.submit("print('x')")
            submitted += 1
        await asyncio.sleep(POLL_SECONDS)


def resident_mb(pid: int) -> float:
    return rss_bytes(pid) / 1e6


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    async with running_service(folder / "data", SETTINGS) as service:
        await warm_is_ready(service)
        await run_jobs(service, 10)
        idle = resident_mb(service.pid)
        _, bare = await asyncio.to_thread(bare_start)
        yield Row(
            id="memory-idle",
            what="resident memory of the service, idle after ten jobs",
            unit="MB",
            peer="Python that imports aiohttp.web",
            asgard=[idle],
            peer_values=[bare],
        )
        if "memory-10000" not in wanted:
            return
        await run_jobs(service, size.jobs)
        yield Row(
            id="memory-10000",
            what=f"the same after {size.jobs:_} real jobs, their records kept".replace("_", " "),
            unit="MB",
            peer="itself, idle",
            asgard=[resident_mb(service.pid)],
            peer_values=[idle],
        )


BENCH = Bench(
    ids=("memory-idle", "memory-10000"), measure=measure, full=Size(), quick=Size(jobs=300)
)

if __name__ == "__main__":
    run(BENCH, __doc__)
