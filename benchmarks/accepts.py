"""Durable accepts per second with 16 clients, compared with bare SQLite commits.

    python -m benchmarks.accepts [--uploads 400] [--rounds 5] [--clients 16]

A sleeping job occupies the only slot, so the service does nothing but accept.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.bench import Bench, run
from benchmarks.figures import Row, number, percentile
from tests.support.service import UNREACHABLE_MLFLOW, Service, running_service, submission

SETTINGS = {
    **UNREACHABLE_MLFLOW,
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
    "ASGARD_JOBS__MAX_QUEUED_JOBS": "1000000",
}


@dataclass(frozen=True)
class Size:
    """Uploads (and commits) per round, rounds, concurrent clients."""

    uploads: int = 400
    rounds: int = 5
    clients: int = 16


def commits_per_second(database: Path, commits: int) -> float:
    """Measure bare commits of one small row, with the durability of the store."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS rows (text)")
    begun = time.perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows VALUES ('x')")
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return commits / seconds


async def accepts(service: Service, uploads: int, clients: int) -> tuple[float, list[float]]:
    """Upload scripts; accepts per second, and the seconds of each."""
    body = submission("print('hello')\n")
    seconds: list[float] = []
    remaining = iter(range(uploads))

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in remaining:
            begun = time.perf_counter()
            async with session.post(service.url + "/mlops/training/upload", json=body) as response:
                assert response.status == 202
                await response.read()
            seconds.append(time.perf_counter() - begun)

    async with aiohttp.ClientSession() as session:
        begun = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(clients)))
        return uploads / (time.perf_counter() - begun), seconds


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    rates, commits, seconds = [], [], []
    async with running_service(folder / "data", SETTINGS) as service:
        blocker = await service.submit("import time; time.sleep(3000)", timeout=3600)
        await service.phase(blocker, "running")
        await accepts(service, 100, size.clients)  # warms up
        for _ in range(size.rounds):
            rate, took = await accepts(service, size.uploads, size.clients)
            rates.append(rate)
            seconds += took
            commits.append(await asyncio.to_thread(commits_per_second, folder / "x", size.uploads))
        await service.post(f"/mlops/training/jobs/{blocker}/cancel")
    milliseconds = [number(percentile(seconds, percent) * 1000) for percent in (50, 95)]
    yield Row(
        id="accepts",
        what=f"uploads accepted (202, durable), {size.clients} clients",
        unit="/s",
        more_is_better=True,
        peer="bare SQLite commits of one row",
        asgard=rates,
        peer_values=commits,
        remark=f"{size.uploads} uploads per round; latency {milliseconds[0]} ms at the median, "
        f"{milliseconds[1]} ms at the 95th percentile",
    )


BENCH = Bench(ids=("accepts",), measure=measure, full=Size(), quick=Size(uploads=200, rounds=2))

if __name__ == "__main__":
    run(BENCH, __doc__)
