"""Trainings submitted to Asgard, beside the same scripts started by hand with the same MLflow.

    python -m benchmarks.warm [--repetitions 5] [--pairs 7] [--json FILE] [--only NAME…]

Each figure's two sides take turns in one run. Seconds are from the start to the end that a client
sees: of `python train.py` to its exit, of a job from its submission to `completed`.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import line
from tests.eventually import eventually
from tests.service import Service, running_service

TRAINING = Path("examples/trainings/random_forest.py").read_text()
LOGS_MODEL = TRAINING.index("    # Without pip_requirements")
WITHOUT_MODEL = TRAINING[:LOGS_MODEL]
INFERRED = "".join(
    one for one in TRAINING.splitlines(keepends=True) if "pip_requirements=" not in one
)
HELLO = "print('hello')\n"
WAITS = """
    open("trained", "w").close()
    import time
    while not os.path.exists("go"): time.sleep(0.01)
"""
SLOTS = 2
BURST = 10


@dataclass
class Figure:
    """One comparison: what both sides took, and what is asked for."""

    name: str
    at_most: float
    """The ratio of the medians."""
    asgard: list[float] = field(default_factory=list)
    hand: list[float] = field(default_factory=list)
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return statistics.median(self.asgard) / statistics.median(self.hand)

    def show(self) -> None:
        line(f"{self.name}: by hand", self._spread(self.hand))
        line(f"{self.name}: Asgard", self._spread(self.asgard))
        line(f"{self.name}: ratio", f"{self.ratio:.3f} (at most {self.at_most:g})")

    def _spread(self, values: Sequence[float]) -> str:
        middle = statistics.median(values)
        spread = f"{min(values):.2f} to {max(values):.2f}, {len(values)} times"
        return f"{middle:8.2f} {self.unit} ({spread})"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "at_most": self.at_most,
            "ratio": self.ratio,
            "asgard": self.asgard,
            "by_hand": self.hand,
        }


class Bench:
    """The service with its MLflow, and a place to start scripts by hand."""

    def __init__(self, service: Service, folder: Path, tracking_uri: str) -> None:
        self._service = service
        self._folder = folder
        self._environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": tracking_uri,
            "MLFLOW_EXPERIMENT_NAME": "by-hand",
            "PYTHONUNBUFFERED": "1",
        }
        self._started = 0

    async def hand(self, script: str) -> float:
        begun = time.perf_counter()
        process = await self.begin_by_hand(script)
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return time.perf_counter() - begun

    async def begin_by_hand(self, script: str) -> asyncio.subprocess.Process:
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        (folder / "train.py").write_text(script)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "train.py",
            cwd=folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def asgard(self, script: str, **fields: Any) -> float:
        begun = time.perf_counter()
        job_id = await self._service.submit(script, **fields)
        await self._ended(job_id)
        seconds = time.perf_counter() - begun
        job = await self._service.job(job_id)
        assert job["status"] == "completed", job
        expected = "cold" if fields.get("warm") is False or script == HELLO else "warm"
        assert job["start"] == expected, job
        return seconds

    async def _ended(self, job_id: str) -> None:
        """Follow its log, as the client does: who polls for ten jobs takes the time of one."""
        path = f"/mlops/training/jobs/{job_id}/logs/ws"
        async with self._service.session.ws_connect(self._service.url + path) as stream:
            while (await stream.receive_json())["type"] != "end":
                pass

    # --- figures ----------------------------------------------------------------------------

    async def take_turns(
        self, figure: Figure, script: str, repetitions: int, **fields: Any
    ) -> Figure:
        for number in range(repetitions):
            sides: list[tuple[list[float], Callable[[], Awaitable[float]]]] = [
                (figure.hand, lambda: self.hand(script)),
                (figure.asgard, lambda: self.asgard(script, **fields)),
            ]
            for values, measure in sides if number % 2 else reversed(sides):
                values.append(await measure())
        return figure

    async def burst(self, figure: Figure, script: str) -> Figure:
        begun = time.perf_counter()
        await asyncio.gather(*(self.asgard(script) for _ in range(BURST)))
        figure.asgard.append(time.perf_counter() - begun)
        slots = asyncio.Semaphore(SLOTS)

        async def one() -> None:
            async with slots:
                await self.hand(script)

        begun = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(BURST)))
        figure.hand.append(time.perf_counter() - begun)
        return figure

    async def memory(self, figure: Figure) -> Figure:
        """PSS that a second one adds while a first, which has trained as well, still lives."""
        script = "import os\n" + WITHOUT_MODEL + WAITS
        folders = []
        before = [0.0]
        for _ in range(2):
            process = await self.begin_by_hand(script)
            folders.append((self._folder / str(self._started), process))
            await eventually((folders[-1][0] / "trained").exists, what="trained", within=120)
            before.append(pss([one.pid for _, one in folders]))
        figure.hand.append((before[2] - before[1]) / 1e6)
        for folder, process in folders:
            (folder / "go").touch()
            await process.communicate()
        jobs: list[Path] = []
        sums = []
        for _ in range(2):
            job_id = await self._service.submit(script)
            jobs.append(self._service.data_dir / "jobs" / job_id / "attempts" / "1" / "work")
            await eventually((jobs[-1] / "trained").exists, what="trained", within=120)
            sums.append(pss(descendants_and_servers(self._service)))
        figure.asgard.append((sums[1] - sums[0]) / 1e6)
        for work in jobs:
            (work / "go").touch()
            await self._service.finished(work.parts[-4], within=120)
        return figure


def pss(pids: Sequence[int]) -> float:
    """Bytes, each shared page counted in parts."""
    total = 0
    for pid in pids:
        for one in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if one.startswith("Pss:"):
                total += int(one.split()[1]) * 1024
    return total


def descendants_and_servers(service: Service) -> list[int]:
    """The fork server, and keepers, shims and jobs: what has the data directory in its variables
    and is neither the service nor MLflow."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{service.data_dir}/warm/".encode() in text and int(path.name) != service.pid:
            found.append(int(path.name))
    return found


async def measure(bench: Bench, only: Sequence[str], repetitions: int, pairs: int) -> list[Figure]:
    turns = bench.take_turns
    known: dict[str, Callable[[], Awaitable[Figure]]] = {
        "training": lambda: turns(
            Figure("training without a model", 0.16), WITHOUT_MODEL, repetitions
        ),
        "model": lambda: turns(Figure("training, model registered", 0.3), TRAINING, repetitions),
        "inferred": lambda: turns(Figure("the same, inferred", 0.8), INFERRED, repetitions),
        "burst": lambda: bench.burst(Figure("ten at once", 0.2), WITHOUT_MODEL),
        "cold": lambda: turns(Figure("training, cold", 1.05), WITHOUT_MODEL, pairs, warm=False),
        "memory": lambda: bench.memory(Figure("memory of a second one", 0.5, unit="MB")),
        "hello": lambda: turns(Figure("print('hello')", 4.0), HELLO, 20),
    }
    figures = []
    for name, take in known.items():
        if not only or name in only:
            figure = await take()
            figure.show()
            figures.append(figure)
    return figures


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    settings = {"ASGARD_JOBS__MAX_CONCURRENT_JOBS": str(SLOTS)}
    with tempfile.TemporaryDirectory() as folder:
        async with running_service(Path(folder) / "data", settings) as service:

            async def up() -> str | None:
                _, status = await service.get("/mlops/status")
                return status["mlflow_tracking_uri"] if status["mlflow_available"] else None

            uri = await eventually(up, within=120, what="MLflow answers")
            bench = Bench(service, Path(folder), uri)
            await bench.hand(WITHOUT_MODEL)  # so that both find the files in memory
            await eventually(
                lambda: "fork server of base is ready" in service.log.read_text(), within=120
            )
            figures = await measure(bench, arguments.only, arguments.repetitions, arguments.pairs)
    if arguments.json:
        arguments.json.write_text(json.dumps([figure.as_json() for figure in figures], indent=1))


if __name__ == "__main__":
    asyncio.run(main())
