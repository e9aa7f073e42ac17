"""What a one-line job costs, beside the same script started with `subprocess`.

    python -m benchmarks.job_cost [--jobs 20] [--burst 100]

Latency: submit → first output in the log → completed, one job at a time, alternating with the
subprocess. Throughput: a burst of jobs, beside as many subprocesses by as many workers as cores.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.figures import line, milliseconds
from tests.service import WITHOUT_MLFLOW, Service, running_service

SCRIPT = "print('hello')\n"
POLL_SECONDS = 0.001


async def first_output(service: Service, job_id: str) -> None:
    log = service.data_dir / "jobs" / job_id / "job.log"
    while not (log.exists() and log.stat().st_size):
        await asyncio.sleep(POLL_SECONDS)


async def completed(service: Service, job_id: str) -> None:
    while (await service.job(job_id, logs="none"))["status"] != "completed":
        await asyncio.sleep(POLL_SECONDS)


async def by_hand(script: Path) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE
    )
    await process.communicate()
    return time.perf_counter() - begun


async def latency(service: Service, script: Path, jobs: int) -> None:
    accepted, output, done, hand = [], [], [], []
    for _ in range(jobs):
        hand.append(await by_hand(script))
        begun = time.perf_counter()
        job_id = await service.submit(SCRIPT)
        accepted.append(time.perf_counter() - begun)
        await first_output(service, job_id)
        output.append(time.perf_counter() - begun)
        await completed(service, job_id)
        done.append(time.perf_counter() - begun)
    print(f"One line of Python, {jobs} times, one after the other:")
    line("by hand (subprocess)", milliseconds(hand))
    line("Asgard: submit → 202", milliseconds(accepted))
    line("Asgard: submit → first output", milliseconds(output))
    line("Asgard: submit → completed", milliseconds(done))
    ratio = statistics.median(done) / statistics.median(hand)
    added = (statistics.median(done) - statistics.median(hand)) * 1000
    line("ratio completed / by hand", f"{ratio:.1f} (adds {added:.0f} ms)")


async def throughput(service: Service, script: Path, burst: int, workers: int) -> None:
    def run(_: int) -> None:
        import subprocess

        subprocess.run([sys.executable, str(script)], stdout=subprocess.DEVNULL, check=True)

    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, range(burst)))
    hand = burst / (time.perf_counter() - begun)

    begun = time.perf_counter()
    ids = await asyncio.gather(*(service.submit(SCRIPT) for _ in range(burst)))
    for job_id in ids:
        await completed(service, job_id)
    asgard = burst / (time.perf_counter() - begun)
    print(f"A burst of {burst}, {workers} at once:")
    line("by hand (subprocess)", f"{hand:7.1f} jobs/s")
    line("Asgard: first submit → all completed", f"{asgard:7.1f} jobs/s")
    line("ratio Asgard / by hand", f"{asgard / hand:.2f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--burst", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "one_line.py"
        script.write_text(SCRIPT)
        async with running_service(Path(folder) / "data", WITHOUT_MLFLOW) as service:
            await completed(service, await service.submit(SCRIPT))  # the first one warms up
            await latency(service, script, arguments.jobs)
            workers = len(os.sched_getaffinity(0))
            await throughput(service, script, arguments.burst, workers)


if __name__ == "__main__":
    asyncio.run(main())
