"""The embedded MLflow beside `mlflow server --workers 1`: time until it answers, and memory.

    python -m benchmarks.mlflow_start [--rounds 3]

Both with an empty store, their job runner off, one after the other in turns. Ready means that a
search of experiments is answered; memory is that of all processes of the server, those that
supervise it included, after ten such searches.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import aiohttp

from benchmarks.figures import line
from benchmarks.memory import pss_mb, with_descendants
from tests.processes import processes_with
from tests.service import running_service
from tests.tracking.servers import MlflowServer, running_mlflow

SEARCH = "/api/2.0/mlflow/experiments/search"


async def ready(uri: str, begun: float) -> float:
    """Seconds from `begun` until a search is answered; ten of them are made."""
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


async def theirs(folder: Path) -> tuple[float, float]:
    """Seconds and MB of `mlflow server`."""
    folder.mkdir()
    begun = time.perf_counter()
    with ExitStack() as stack:
        server: MlflowServer = await asyncio.to_thread(stack.enter_context, running_mlflow(folder))
        seconds = await ready(server.uri, begun)
        return seconds, pss_mb(with_descendants(server.pid))


async def ours(folder: Path) -> tuple[float, float]:
    """Seconds and MB of the embedded one, from the start of the service on."""
    begun = time.perf_counter()
    async with running_service(folder / "data") as service:
        _, status = await service.get("/mlops/status")
        seconds = await ready(status["mlflow_tracking_uri"], begun)
        return seconds, pss_mb(set(processes_with(str(folder / "data/mlflow"))) - {service.pid})


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    figures: dict[str, list[tuple[float, float]]] = {"theirs": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(arguments.rounds):
            figures["theirs"].append(await theirs(folder / f"theirs{number}"))
            figures["ours"].append(await ours(folder / f"ours{number}"))
    median = {
        side: tuple(statistics.median(column) for column in zip(*rounds, strict=True))
        for side, rounds in figures.items()
    }
    print(f"An empty MLflow, median of {arguments.rounds} rounds:")
    for side, what in (("theirs", "mlflow server --workers 1"), ("ours", "embedded in Asgard")):
        seconds, memory = median[side]
        line(what, f"ready after {seconds:5.2f} s, {memory:5.0f} MB (PSS)")
    line("ratio of the times", f"{median['ours'][0] / median['theirs'][0]:.2f}")
    line("ratio of the memory", f"{median['ours'][1] / median['theirs'][1]:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
