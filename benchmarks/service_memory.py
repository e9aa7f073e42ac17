"""The service's memory: idle, and after many jobs.

    python -m benchmarks.service_memory [--jobs 10000]

Resident memory and PSS of the service's own process; jobs are one line long, submitted by eight
clients, their records kept. Ten thousand take about ten minutes.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from benchmarks.figures import line
from benchmarks.memory import pss_mb
from benchmarks.service_start import resident_mb
from tests.service import WITHOUT_MLFLOW, Service, running_service

AHEAD = 100
"""Jobs in the queue at once."""


async def run_jobs(service: Service, jobs: int) -> None:
    """Run so many one-line jobs to their end."""
    ahead = asyncio.Semaphore(AHEAD)

    async def one() -> None:
        async with ahead:
            await service.finished(await service.submit("print('x')"), within=600)

    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(one())


def show(what: str, pid: int) -> float:
    resident = resident_mb(pid)
    line(what, f"{resident:6.1f} MB resident, {pss_mb({pid}):6.1f} MB PSS")
    return resident


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with running_service(Path(folder) / "data", WITHOUT_MLFLOW) as service:
            await run_jobs(service, 10)
            print("The service's memory:")
            idle = show("idle, after ten jobs", service.pid)
            await run_jobs(service, arguments.jobs)
            after = show(f"after {arguments.jobs} jobs", service.pid)
            line("ratio", f"{after / idle:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
