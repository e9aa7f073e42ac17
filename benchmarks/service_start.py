"""Start time of the service, compared with an interpreter that imports aiohttp and idles.

    python -m benchmarks.service_start [--starts 5]

Each start uses an empty data directory, so it includes migrations, and MLflow starts at the same
time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, run
from benchmarks.figures import Row
from benchmarks.peers.bare import bare_start
from tests.support.service import Service


@dataclass(frozen=True)
class Size:
    """Starts of each side."""

    starts: int = 5


async def seconds_to_live(service: Service) -> float:
    """Start the service; seconds until /health/live answers."""
    begun = time.perf_counter()
    await service.start()
    return time.perf_counter() - begun


async def start(data_dir: Path) -> float:
    """Start a service on an empty data directory and stop it; seconds until it was live."""
    service = Service(data_dir)
    try:
        seconds = await seconds_to_live(service)
        await service.finished(await service.submit("print('x')"))
        loaded = Path(f"/proc/{service.pid}/maps").read_text()
        assert "numpy" not in loaded, "the service imports MLflow or numpy"
        return seconds
    finally:
        await service.close()


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    asgard, bare = [], []
    for turn in range(size.starts):
        bare.append((await asyncio.to_thread(bare_start))[0])
        asgard.append(await start(folder / str(turn) / "data"))
    yield Row(
        id="start",
        what="started → /health/live answers",
        unit="s",
        peer="Python that imports aiohttp.web",
        asgard=asgard,
        peer_values=bare,
    )


BENCH = Bench(ids=("start",), measure=measure, full=Size(), quick=Size(starts=2))

if __name__ == "__main__":
    run(BENCH, __doc__)
