"""Cost of a one-line job: by hand, with Ray Jobs, with task-spooler.

    python -m benchmarks.job_cost [--jobs 20] [--burst 100] [--rounds 3] [--ray-burst 10]

Latency: one job at a time, from submission to end. Throughput: a burst, two jobs at once, from the
first submission to the last end. Rounds of all sides are interleaved.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, run
from benchmarks.embedded import warm_is_ready
from benchmarks.figures import Row
from benchmarks.memory import pss_mb
from benchmarks.peers import PeerMissing
from benchmarks.peers.ray import RayHead, ray_head
from benchmarks.peers.tsp import TaskSpooler, task_spooler
from tests.support.processes import processes_with
from tests.support.service import UNREACHABLE_MLFLOW, Service, running_service

SCRIPT = "print('hello')\n"
SLOTS = 2
POLL_SECONDS = 0.005
RAY_EXIT_SECONDS = 1.0
"""Pause after a Ray job: its workers exit later, which must not count for the next job."""
BY_HAND, RAY, TSP = "by hand (subprocess)", "Ray Jobs", "tsp (task-spooler)"
SETTINGS = {**UNREACHABLE_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": str(SLOTS)}


@dataclass(frozen=True)
class Size:
    """Sequential jobs, jobs per burst, bursts, jobs per burst of Ray."""

    jobs: int = 20
    burst: int = 100
    rounds: int = 3
    ray_burst: int = 10


class Sides:
    """The same script, run by each side."""

    def __init__(self, service: Service, script: Path) -> None:
        self.service = service
        self.script = script
        self.ray: RayHead | None = None
        self.spooler: TaskSpooler | None = None
        self.missing: dict[str, str] = {}

    async def bring_peers(self, wanted: Set[str], folder: Path, stack: AsyncExitStack) -> None:
        """Start the peers of the wanted rows, if available, until the stack is closed."""
        if not wanted.isdisjoint(RAY_IDS):
            try:
                self.ray = await stack.enter_async_context(ray_head(SLOTS))
                await self.with_ray()
            except PeerMissing as error:
                self.missing[RAY] = str(error)
        if "tiny-tsp" in wanted:
            try:
                self.spooler = await stack.enter_async_context(task_spooler(folder, SLOTS))
            except PeerMissing as error:
                self.missing[TSP] = str(error)

    async def by_hand(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(self.script), stdout=asyncio.subprocess.PIPE
        )
        await process.communicate()

    async def completed(self, job_id: str) -> None:
        while (await self.service.job(job_id, logs="none"))["status"] != "completed":
            await asyncio.sleep(POLL_SECONDS)

    async def with_asgard(self) -> None:
        await self.completed(await self.service.submit(SCRIPT))

    async def with_ray(self) -> None:
        assert self.ray is not None
        command = f"{sys.executable} {self.script}"
        await self.ray.succeeded(await self.ray.submit(command))

    # --- bursts -----------------------------------------------------------------------------------

    async def burst_by_hand(self, jobs: int) -> None:
        slots = asyncio.Semaphore(SLOTS)

        async def one() -> None:
            async with slots:
                await self.by_hand()

        await asyncio.gather(*(one() for _ in range(jobs)))

    async def burst_with_asgard(self, jobs: int) -> None:
        for job_id in await asyncio.gather(*(self.service.submit(SCRIPT) for _ in range(jobs))):
            await self.completed(job_id)

    async def burst_with_ray(self, jobs: int) -> None:
        ray, command = self.ray, f"{sys.executable} {self.script}"
        assert ray is not None
        for submission in await asyncio.gather(*(ray.submit(command) for _ in range(jobs))):
            await ray.succeeded(submission)

    async def burst_with_tsp(self, jobs: int) -> None:
        assert self.spooler is not None
        await self.spooler.run_all(sys.executable, str(self.script), times=jobs)


async def seconds(awaitable: Awaitable[None]) -> float:
    begun = time.perf_counter()
    await awaitable
    return time.perf_counter() - begun


async def first_output(service: Service) -> float:
    """Seconds from the submission of a job to the first byte of its log."""
    begun = time.perf_counter()
    job_id = await service.submit(SCRIPT)
    log = service.data_dir / "jobs" / job_id / "job.log"
    while not (log.exists() and log.stat().st_size):
        await asyncio.sleep(0.001)
    took = time.perf_counter() - begun
    await service.finished(job_id)
    return took


async def latencies(sides: Sides, jobs: int) -> AsyncIterator[Row]:
    hand, done, output, ray = [], [], [], []
    for _ in range(jobs):
        hand.append(1000 * await seconds(sides.by_hand()))
        done.append(1000 * await seconds(sides.with_asgard()))
        output.append(1000 * await first_output(sides.service))
        if sides.ray:
            ray.append(1000 * await seconds(sides.with_ray()))
            await asyncio.sleep(RAY_EXIT_SECONDS)
    what = "print('hello'), submit → completed"
    yield Row(id="hello", what=what, unit="ms", peer=BY_HAND, asgard=done, peer_values=hand)
    yield Row(
        id="first-output",
        what="print('hello'), submit → its line is in the log",
        unit="ms",
        peer=BY_HAND,
        asgard=output,
        peer_values=hand,
    )
    yield Row(
        id="hello-ray",
        what=what,
        unit="ms",
        peer=RAY,
        asgard=done,
        peer_values=ray,
        remark=sides.missing.get(RAY, "without Ray's first job, which takes longer"),
    )


async def throughput(sides: Sides, size: Size) -> AsyncIterator[Row]:
    hand, asgard, ray, tsp = [], [], [], []
    for _ in range(size.rounds):
        hand.append(size.burst / await seconds(sides.burst_by_hand(size.burst)))
        asgard.append(size.burst / await seconds(sides.burst_with_asgard(size.burst)))
        if sides.spooler:
            tsp.append(size.burst / await seconds(sides.burst_with_tsp(size.burst)))
        if sides.ray:
            ray.append(size.ray_burst / await seconds(sides.burst_with_ray(size.ray_burst)))
    for row_id, peer, peer_values, remark in (
        ("tiny", BY_HAND, hand, ""),
        ("tiny-tsp", TSP, tsp, ""),
        ("tiny-ray", RAY, ray, f"Ray's bursts have {size.ray_burst} jobs, to save time"),
    ):
        yield Row(
            id=row_id,
            what=f"{size.burst} one-line jobs, {SLOTS} at once",
            unit="jobs/s",
            more_is_better=True,
            peer=peer,
            asgard=asgard,
            peer_values=peer_values,
            remark=sides.missing.get(peer, remark),
        )


async def starts(sides: Sides, start_seconds: float) -> AsyncIterator[Row]:
    """Start time and memory of Ray's head, compared with the service and its fork server."""
    start, memory = [], []
    if sides.ray:
        start, memory = [sides.ray.start_seconds], [sides.ray.memory_mb()]
    missing = sides.missing.get(RAY, "")
    yield Row(
        id="ray-start",
        what="started → accepts jobs",
        unit="s",
        peer="ray start --head",
        asgard=[start_seconds],
        peer_values=start,
        remark=missing,
    )
    yield Row(
        id="ray-memory",
        what="memory of all processes after some jobs (PSS)",
        unit="MB",
        peer="ray start --head",
        asgard=[pss_mb(processes_with(str(sides.service.data_dir)))],
        peer_values=memory,
        remark=missing or "Asgard without MLflow, with its fork server",
    )


RAY_IDS = ("hello-ray", "tiny-ray", "ray-start", "ray-memory")
LATENCIES = ("hello", "first-output", "hello-ray")
THROUGHPUT = ("tiny", "tiny-tsp", "tiny-ray")


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    script = folder / "one_line.py"
    script.write_text(SCRIPT)
    begun = time.perf_counter()
    async with running_service(folder / "data", SETTINGS) as service, AsyncExitStack() as stack:
        start_seconds = time.perf_counter() - begun
        sides = Sides(service, script)
        await sides.bring_peers(wanted, folder / "spool", stack)
        await warm_is_ready(service)
        await sides.with_asgard()
        if not wanted.isdisjoint(LATENCIES):
            async for row in latencies(sides, size.jobs):
                yield row
        if not wanted.isdisjoint(THROUGHPUT):
            async for row in throughput(sides, size):
                yield row
        if not wanted.isdisjoint({"ray-start", "ray-memory"}):
            async for row in starts(sides, start_seconds):
                yield row


BENCH = Bench(
    ids=(*LATENCIES, *THROUGHPUT, "ray-start", "ray-memory"),
    measure=measure,
    full=Size(),
    quick=Size(jobs=5, rounds=1, ray_burst=4),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
