"""Durable accepts per second with 16 clients, beside bare SQLite commits in the same run.

    python -m benchmarks.accepts [--uploads 2000] [--clients 16]

The service has one slot, taken by a sleeping job, so that it does nothing but accept.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.figures import line, milliseconds
from tests.service import WITHOUT_MLFLOW, Service, running_service, submission

SETTINGS = {
    **WITHOUT_MLFLOW,
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
    "ASGARD_JOBS__MAX_QUEUED_JOBS": "1000000",
}


def commits_per_second(folder: Path, commits: int) -> float:
    """Bare commits of one small row, with the durability that the store asks for."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE rows (text)")
    begun = time.perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows VALUES ('x')")
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return commits / seconds


async def accepts(service: Service, uploads: int, clients: int) -> tuple[float, list[float]]:
    """Accepts per second and the seconds of each."""
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


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare = commits_per_second(Path(folder), arguments.uploads)
        async with running_service(Path(folder) / "data", SETTINGS) as service:
            blocker = await service.submit("import time; time.sleep(3000)", timeout=3600)
            await service.phase(blocker, "running")
            await accepts(service, 100, arguments.clients)  # warms up
            rate, seconds = await accepts(service, arguments.uploads, arguments.clients)
            await service.post(f"/mlops/training/jobs/{blocker}/cancel")
    print(f"{arguments.uploads} uploads by {arguments.clients} clients:")
    line("bare SQLite commits", f"{bare:7.0f} /s")
    line("Asgard: durable accepts", f"{rate:7.0f} /s")
    line("ratio Asgard / bare commits", f"{rate / bare:.2f}")
    line("one accept, as the client sees it", milliseconds(seconds))


if __name__ == "__main__":
    asyncio.run(main())
