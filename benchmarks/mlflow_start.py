"""The embedded MLflow compared with `mlflow server --workers 1`: start time and memory.

    python -m benchmarks.mlflow_start [--rounds 3]

Both have an empty store and no job runner, and start in alternation. Ready means that a search for
experiments is answered; memory is that of all processes of the server, including its supervision,
after ten such searches.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.bench import Bench, run
from benchmarks.figures import Row
from benchmarks.memory import pss_mb, with_descendants
from tests.support.mlflow_servers import MlflowServer, running_mlflow
from tests.support.processes import processes_with
from tests.support.service import running_service

SEARCH = "/api/2.0/mlflow/experiments/search"
PEER = "mlflow server --workers 1, job runner off"


@dataclass(frozen=True)
class Size:
    """Starts of each side."""

    rounds: int = 3


async def ready(uri: str, begun: float) -> float:
    """Make ten searches; seconds from `begun` until the first is answered."""
    async with aiohttp.ClientSession() as session:
        first = None
        answered = 0
        while answered < 10:
            try:
                async with session.post(uri + SEARCH, json={"max_results": 10}) as response:
                    await response.read()
                    if response.status == 200:
                        answered += 1
                        first = first or time.perf_counter() - begun
                        continue
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
        assert first is not None
        return first


async def standalone_server(folder: Path) -> tuple[float, float]:
    """Seconds and MB of `mlflow server`."""
    folder.mkdir()
    begun = time.perf_counter()
    with ExitStack() as stack:
        server: MlflowServer = await asyncio.to_thread(stack.enter_context, running_mlflow(folder))
        seconds = await ready(server.uri, begun)
        return seconds, pss_mb(with_descendants(server.pid))


async def embedded_server(folder: Path) -> tuple[float, float]:
    """Seconds and MB of the embedded server, from the start of the service."""
    begun = time.perf_counter()
    async with running_service(folder / "data") as service:
        _, status = await service.get("/mlops/status")
        seconds = await ready(status["mlflow_tracking_uri"], begun)
        return seconds, pss_mb(set(processes_with(str(folder / "data/mlflow"))) - {service.pid})


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    alone, embedded = [], []
    for turn in range(size.rounds):
        alone.append(await standalone_server(folder / f"standalone{turn}"))
        embedded.append(await embedded_server(folder / f"embedded{turn}"))
    for column, (row_id, what, unit) in enumerate(
        (
            ("mlflow-ready", "embedded MLflow: started → answers a search", "s"),
            ("mlflow-memory", "embedded MLflow: memory of all its processes (PSS)", "MB"),
        )
    ):
        yield Row(
            id=row_id,
            what=what,
            unit=unit,
            peer=PEER,
            asgard=[one[column] for one in embedded],
            peer_values=[one[column] for one in alone],
        )


BENCH = Bench(
    ids=("mlflow-ready", "mlflow-memory"), measure=measure, full=Size(), quick=Size(rounds=1)
)

if __name__ == "__main__":
    run(BENCH, __doc__)
