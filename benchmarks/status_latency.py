"""`/mlops/status` while MLflow is well, stopped, killed, or refuses connections.

    python -m benchmarks.status_latency [--requests 500]

The service that Asgard replaces took 35 s. `/health/live`, which looks at nothing, stands beside.
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.figures import line, percentile
from tests.eventually import eventually
from tests.processes import processes_with
from tests.service import WITHOUT_MLFLOW, Service, running_service

PAUSE_SECONDS = 0.01  # so that the requests meet the monitor's looks at MLflow


async def measure(service: Service, what: str, requests: int) -> None:
    figures = {}
    for path in ("/health/live", "/mlops/status"):
        seconds = []
        for _ in range(requests):
            begun = time.perf_counter()
            status, _ = await service.get(path)
            seconds.append(time.perf_counter() - begun)
            assert status == 200
            await asyncio.sleep(PAUSE_SECONDS)
        figures[path] = percentile(seconds, 99) * 1000
    _, answer = await service.get("/mlops/status")
    live, status_p99 = figures["/health/live"], figures["/mlops/status"]
    line(
        f"MLflow {what} ({answer['mlflow_api']})",
        f"status p99 {status_p99:6.1f} ms   live p99 {live:6.1f} ms   35 s / p99"
        f" = {35_000 / status_p99:.0f}",
    )


def mlflow_pids(service: Service) -> list[int]:
    return [
        pid
        for pid in processes_with(str(service.data_dir / "mlflow"))
        if b"mlflow_program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"ASGARD_TRACKING__REFRESH_SECONDS": "1"}
        async with running_service(Path(folder) / "embedded", settings) as service:

            async def accessible() -> bool:
                return bool((await service.get("/mlops/status"))[1]["mlflow_available"])

            await eventually(accessible, within=60)
            await measure(service, "is well", arguments.requests)
            (pid,) = mlflow_pids(service)
            os.kill(pid, signal.SIGSTOP)
            await measure(service, "is stopped (SIGSTOP)", arguments.requests)
            os.kill(pid, signal.SIGKILL)
            await measure(service, "was killed and starts again", arguments.requests)
        async with running_service(Path(folder) / "refusing", WITHOUT_MLFLOW) as service:
            await measure(service, "refuses connections", arguments.requests)


if __name__ == "__main__":
    asyncio.run(main())
