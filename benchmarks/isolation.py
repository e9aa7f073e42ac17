"""Cost of each isolation level: the start of a small job, and a whole training.

    python -m benchmarks.isolation [--repetitions 20] [--trainings 7]

The services of all levels run at once; their rounds are interleaved. Seconds are from the
submission of a job until its process has ended. `user` is left out if the service is not root.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, run
from benchmarks.embedded import warm_is_ready
from benchmarks.figures import Row
from tests.support.mlflow_servers import running_mlflow
from tests.support.service import Service, running_service
from tests.support.service_users import launcher

SCRIPTS = {
    "cold-start": "print('hello')\n",
    "warm-start": "import numpy\nprint('hello')\n",
    "training": Path("examples/trainings/random_forest.py").read_text(),
}
POLL_SECONDS = 0.005
PLAIN = "process"


@dataclass(frozen=True)
class Size:
    """Repetitions per level: small jobs, trainings."""

    repetitions: int = 20
    trainings: int = 7


async def seconds(service: Service, script: str, *, warm: bool) -> float:
    """One job, from submission until its process has ended."""
    begun = time.perf_counter()
    job_id = await service.submit(script, warm=warm)
    while (job := await service.job(job_id, logs="none"))["phase"] not in {"recording", "finished"}:
        await asyncio.sleep(POLL_SECONDS)
    taken = time.perf_counter() - begun
    job = await service.finished(job_id)
    assert job["status"] == "completed", job
    assert not warm or job["start"] == "warm", job["cold_reason"]
    return taken


async def in_turns(
    services: Mapping[str, Service], script: str, times: int, *, warm: bool
) -> dict[str, list[float]]:
    """Run the same job on every level in turn; seconds by level."""
    taken: dict[str, list[float]] = {level: [] for level in services}
    for service in services.values():
        await seconds(service, script, warm=warm)  # the first job is slower
    for _ in range(times):
        for level, service in services.items():
            taken[level].append(await seconds(service, script, warm=warm))
    return taken


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    async with AsyncExitStack() as stack:
        mlflow = stack.enter_context(running_mlflow(folder))
        services = {}
        for level in (PLAIN, "sandbox", *(("user",) if os.geteuid() == 0 else ())):
            data_dir = folder / level / "data"
            data_dir.mkdir(parents=True)
            settings = {
                "ASGARD_MLFLOW__TRACKING_URI": mlflow.uri,
                "ASGARD_ISOLATION__LEVEL": level,
            }
            # a job's own user must be able to reach the interpreter
            start: Sequence[str] = launcher(0, data_dir) if level == "user" else ()
            running = running_service(data_dir, settings, start)
            services[level] = await stack.enter_async_context(running)
            await warm_is_ready(services[level])
        for name, script in SCRIPTS.items():
            ids = {level: f"{name}-{level}" for level in services if level != PLAIN}
            if wanted.isdisjoint(ids.values()):
                continue
            is_training = name == "training"
            times = size.trainings if is_training else size.repetitions
            taken = await in_turns(services, script, times, warm=name != "cold-start")
            for level, row_id in ids.items():
                yield Row(
                    id=row_id,
                    what=f"{WHAT[name]}, `{level}`",
                    unit="s",
                    peer="the same, `process`",
                    asgard=taken[level],
                    peer_values=taken[PLAIN],
                )


WHAT = {
    "cold-start": "a one-line job, cold",
    "warm-start": "a one-line job, warm",
    "training": "RandomForest training that registers its model, warm",
}
BENCH = Bench(
    ids=tuple(f"{name}-{level}" for name in SCRIPTS for level in ("sandbox", "user")),
    measure=measure,
    full=Size(),
    quick=Size(repetitions=5, trainings=2),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
