"""What each rung of the ladder costs: the start of a small job, and a whole training.

    python -m benchmarks.isolation [--repetitions 20] [--trainings 5] [--levels process sandbox]

The services of all rungs run at once and take turns. Seconds are from the submission of a job to
`completed`, as a client sees it. `user` is left out where the service is not root.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import line, milliseconds
from tests.eventually import eventually
from tests.isolation.users import launcher
from tests.service import Service, running_service
from tests.tracking.servers import running_mlflow

HELLO = "print('hello')\n"
WARM_HELLO = "import numpy\nprint('hello')\n"
TRAINING = Path("examples/trainings/random_forest.py").read_text()
POLL_SECONDS = 0.005


async def seconds(service: Service, script: str, *, warm: bool) -> float:
    """One job, from submission to its end."""
    begun = time.perf_counter()
    job_id = await service.submit(script, warm=warm)
    while (job := await service.job(job_id, logs="none"))["phase"] not in {"recording", "finished"}:
        await asyncio.sleep(POLL_SECONDS)
    taken = time.perf_counter() - begun
    job = await service.finished(job_id)
    assert job["status"] == "completed", job
    assert not warm or job["start"] == "warm", job["cold_reason"]
    return taken


async def compare(
    what: str, services: dict[str, Service], script: str, times: int, *, warm: bool
) -> None:
    """The same job on every rung in turn."""
    taken: dict[str, list[float]] = {level: [] for level in services}
    for service in services.values():
        await seconds(service, script, warm=warm)  # the first one is slower
    for _ in range(times):
        for level, service in services.items():
            taken[level].append(await seconds(service, script, warm=warm))
    plain = statistics.median(taken["process"])
    print(f"{what}, {times} times in turn:")
    for level, values in taken.items():
        middle = statistics.median(values)
        more = f"{middle / plain:.2f} of process, {(middle - plain) * 1000:+.0f} ms"
        line(level, f"{milliseconds(values)}; {more}")


async def measure(levels: Sequence[str], repetitions: int, trainings: int) -> None:
    with tempfile.TemporaryDirectory() as folder, running_mlflow(Path(folder)) as mlflow:
        async with contextlib.AsyncExitStack() as stack:
            services = {}
            for level in levels:
                data_dir = Path(folder) / level / "data"
                data_dir.parent.mkdir()
                settings = {
                    "ASGARD_MLFLOW__TRACKING_URI": mlflow.uri,
                    "ASGARD_ISOLATION__LEVEL": level,
                }
                start: Sequence[str] = ()
                if level == "user":
                    data_dir.mkdir()
                    start = launcher(0, data_dir)
                running = running_service(data_dir, settings, start)
                services[level] = service = await stack.enter_async_context(running)

                async def is_warm(service: Service = service) -> bool:
                    return "asgard_warm_servers_ready 1.0" in (await service.get("/metrics"))[1]

                await eventually(is_warm, within=120, what="the fork server is ready")
            await compare("hello, cold", services, HELLO, repetitions, warm=False)
            await compare("hello, warm", services, WARM_HELLO, repetitions, warm=True)
            await compare("training, warm", services, TRAINING, trainings, warm=True)
            await compare("training, cold", services, TRAINING, trainings, warm=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--trainings", type=int, default=5)
    levels = ["process", "sandbox", *(["user"] if os.geteuid() == 0 else [])]
    parser.add_argument("--levels", nargs="+", default=levels)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.levels, arguments.repetitions, arguments.trainings))


if __name__ == "__main__":
    main()
