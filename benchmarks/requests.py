"""Answers per second of `/mlops/status` and of job lists, each beside what it is compared to.

    python -m benchmarks.requests [--seconds 3] [--rounds 5] [--jobs 100000]

Status: beside a bare aiohttp application that answers the very same JSON. Lists: a page of 50 among
so many jobs, beside one among 100. The rounds of both sides are interleaved.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asgard_async.jobs.record import JobSpec
from asgard_async.jobs.submit import draw_job_id
from asgard_async.store.accepting import NewJob, insert_job
from asgard_async.store.database import Database
from benchmarks.figures import line, percentile
from tests.service import WITHOUT_MLFLOW, free_port, running_service

CONNECTIONS = 16
SLEEP = b"import time; time.sleep(3000)"
BARE = """
import json, sys
from aiohttp import web

document = json.loads(sys.argv[2])

async def handler(request):
    return web.json_response(document)

app = web.Application()
app.router.add_get("/mlops/status", handler)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


async def load(url: str, seconds: float) -> tuple[float, list[float]]:
    """Answers per second, and the seconds of each."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load", url, str(CONNECTIONS), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    figures = json.loads(output)
    return figures["per_second"], figures["seconds"]


@contextlib.asynccontextmanager
async def bare_server(document: Any) -> AsyncIterator[str]:
    """aiohttp alone, answering `document`; its address."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BARE, str(port), json.dumps(document))
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def fill(data_dir: Path, jobs: int) -> None:
    """A database of so many jobs that wait, behind one that keeps the only slot."""
    data_dir.mkdir(parents=True)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    async with Database(data_dir / "asgard.db") as database:

        def transaction(conn: Any) -> None:
            for number in range(jobs):
                spec = JobSpec(
                    script_name="train.py",
                    experiment_name=f"experiment {number % 2}",
                    model_name="model",
                    timeout=3600,
                    script_sha256="0" * 64,
                    priority=0 if number else 100,
                )
                new = NewJob(spec=spec, script=SLEEP, uses_tracking=False)
                insert_job(conn, new, draw_job_id, begin + timedelta(seconds=number))

        await database.write(transaction)


async def interleaved(urls: list[str], seconds: float, rounds: int) -> list[tuple[float, float]]:
    """For each address the median of the rates, and the 99th percentile of all answers in ms."""
    rates: list[list[float]] = [[] for _ in urls]
    answers: list[list[float]] = [[] for _ in urls]
    for _ in range(rounds):
        for number, url in enumerate(urls):
            rate, took = await load(url, seconds)
            rates[number].append(rate)
            answers[number] += took
    return [
        (statistics.median(rate), percentile(took, 99) * 1000)
        for rate, took in zip(rates, answers, strict=True)
    ]


async def status(folder: Path, seconds: float, rounds: int) -> None:
    async with running_service(folder / "status", WITHOUT_MLFLOW) as service:
        _, document = await service.get("/mlops/status")
        async with bare_server(document) as bare:
            urls = [f"{bare}/mlops/status", f"{service.url}/mlops/status"]
            theirs, ours = await interleaved(urls, seconds, rounds)
    print(f"/mlops/status over {CONNECTIONS} connections:")
    line("bare aiohttp, the same JSON", f"{theirs[0]:7.0f} /s   p99 {theirs[1]:6.1f} ms")
    line("Asgard", f"{ours[0]:7.0f} /s   p99 {ours[1]:6.1f} ms")
    line("ratio Asgard / bare", f"{ours[0] / theirs[0]:.2f}")


async def lists(folder: Path, jobs: int, seconds: float, rounds: int) -> None:
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_JOBS__MAX_QUEUED_JOBS": "1000000",
        "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
    }
    few, many = folder / "few", folder / "many"
    await fill(few, 100)
    await fill(many, jobs)
    async with running_service(few, settings) as first, running_service(many, settings) as second:
        print(f"A page of 50 jobs over {CONNECTIONS} connections:")
        for query in ("limit=50", "limit=50&experiment_name=experiment%201"):
            urls = [f"{one.url}/mlops/training/jobs?{query}" for one in (first, second)]
            small, large = await interleaved(urls, seconds, rounds)
            line(f"{query}, among 100", f"{small[0]:7.0f} /s   p99 {small[1]:6.1f} ms")
            line(f"{query}, among {jobs}", f"{large[0]:7.0f} /s   p99 {large[1]:6.1f} ms")
            line("ratio of the times", f"{small[0] / large[0]:.2f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        await status(Path(folder), arguments.seconds, arguments.rounds)
        await lists(Path(folder), arguments.jobs, arguments.seconds, arguments.rounds)


if __name__ == "__main__":
    asyncio.run(main())
