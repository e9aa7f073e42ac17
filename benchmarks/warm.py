"""Trainings submitted to Asgard, compared with the same scripts run by hand with the same MLflow.

    python -m benchmarks.warm [--repetitions 5] [--inferred 3] [--pairs 7] [--bursts 3] [--memory 3]

Rounds of both sides are interleaved. Seconds are what a client sees: from the start of `python
train.py` to its exit, and from the submission of a job to `completed`, with its run known and its
model registered.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, run
from benchmarks.embedded import mlflow_uri, warm_is_ready
from benchmarks.figures import Row
from benchmarks.memory import pss_mb
from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service import Service, running_service

TRAINING = Path("examples/trainings/random_forest.py").read_text()
LOGS_MODEL = TRAINING.index("    # Without pip_requirements")
WITHOUT_MODEL = TRAINING[:LOGS_MODEL]
INFERRED = "".join(
    one for one in TRAINING.splitlines(keepends=True) if "pip_requirements=" not in one
)
WAITS = """
    open("trained", "w").close()
    import time
    while not os.path.exists("go"): time.sleep(0.01)
"""
SLOTS = 2
BURST = 10
BY_HAND = "by hand"
SETTINGS = {
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": str(SLOTS),
    "ASGARD_TRACKING__SETTLE_SECONDS": "60",  # completed includes the run, however slow
}


@dataclass(frozen=True)
class Size:
    """Repetitions: trainings, trainings with inferred requirements, cold pairs, bursts, memory."""

    repetitions: int = 5
    inferred: int = 3
    pairs: int = 7
    bursts: int = 3
    memory: int = 3


class Sides:
    """The service with its MLflow, and a directory for scripts run by hand."""

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
        process, _ = await self.begin_by_hand(script)
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return time.perf_counter() - begun

    async def begin_by_hand(self, script: str) -> tuple[asyncio.subprocess.Process, Path]:
        """Start a script by hand; its process and its directory."""
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        (folder / "train.py").write_text(script)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "train.py",
            cwd=folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return process, folder

    async def asgard(self, script: str, **fields: Any) -> float:
        begun = time.perf_counter()
        job_id = await self._service.submit(script, **fields)
        await self._ended(job_id)
        seconds = time.perf_counter() - begun
        job = await self._service.job(job_id)
        assert job["status"] == "completed", job
        assert job["start"] == ("cold" if fields.get("warm") is False else "warm"), job
        assert job["run_id"], job
        assert job["model_version"] or script == WITHOUT_MODEL, job
        return seconds

    async def _ended(self, job_id: str) -> None:
        """Follow its log, as the client does: polling for ten jobs would take the time of one."""
        path = f"/mlops/training/jobs/{job_id}/logs/ws"
        async with self._service.session.ws_connect(self._service.url + path) as stream:
            while (await stream.receive_json())["type"] != "end":
                pass

    # --- both sides, interleaved ------------------------------------------------------------------

    async def in_turns(
        self, script: str, repetitions: int, **fields: Any
    ) -> tuple[list[float], list[float]]:
        """Seconds with Asgard, and by hand."""
        asgard: list[float] = []
        hand: list[float] = []
        sides: list[tuple[list[float], Callable[[], Awaitable[float]]]] = [
            (hand, lambda: self.hand(script)),
            (asgard, lambda: self.asgard(script, **fields)),
        ]
        for turn in range(repetitions):
            for values, measure_one in sides if turn % 2 else reversed(sides):
                values.append(await measure_one())
        return asgard, hand

    async def bursts(self, script: str, repetitions: int) -> tuple[list[float], list[float]]:
        """Seconds until ten runs of a script have ended, with Asgard, and by hand two at a time."""
        asgard, hand = [], []
        slots = asyncio.Semaphore(SLOTS)

        async def one_by_hand() -> None:
            async with slots:
                await self.hand(script)

        for _ in range(repetitions):
            begun = time.perf_counter()
            await asyncio.gather(*(self.asgard(script) for _ in range(BURST)))
            asgard.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            await asyncio.gather(*(one_by_hand() for _ in range(BURST)))
            hand.append(time.perf_counter() - begun)
        return asgard, hand

    # --- memory -----------------------------------------------------------------------------------

    async def memory_by_hand(self, script: str) -> float:
        """MB (PSS) that a second process adds while a first one, also trained, still lives."""
        begun, sums = [], []
        for _ in range(2):
            process, folder = await self.begin_by_hand(script)
            begun.append((process, folder))
            await eventually((folder / "trained").exists, what="trained", within=120)
            sums.append(pss_mb(process.pid for process, _ in begun))
        for process, folder in begun:
            (folder / "go").touch()
            await process.communicate()
        return sums[1] - sums[0]

    async def memory_with_asgard(self, script: str) -> float:
        """The same for fork server, keepers, shims and jobs."""
        jobs, sums = [], []
        for _ in range(2):
            job_id = await self._service.submit(script)
            work = self._service.data_dir / "jobs" / job_id / "attempts" / "1" / "work"
            jobs.append((job_id, work))
            await eventually((work / "trained").exists, what="trained", within=120)
            pids = set(processes_with(f"{self._service.data_dir}/warm/")) - {self._service.pid}
            sums.append(pss_mb(pids))
        for job_id, work in jobs:
            (work / "go").touch()
            await self._service.finished(job_id, within=120)
        return sums[1] - sums[0]


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    async with running_service(folder / "data", SETTINGS) as service:
        sides = Sides(service, folder, await mlflow_uri(service))
        await sides.hand(WITHOUT_MODEL)  # so that both find the files in the page cache
        await warm_is_ready(service)
        figures: dict[str, tuple[str, Callable[[], Awaitable[tuple[list[float], list[float]]]]]] = {
            "training": (
                "RandomForest training without a logged model, submit → completed, warm",
                lambda: sides.in_turns(WITHOUT_MODEL, size.repetitions),
            ),
            "model": (
                "the same, registering its model (`log_model` with `pip_requirements`)",
                lambda: sides.in_turns(TRAINING, size.repetitions),
            ),
            "inferred": (
                "the same, requirements inferred by MLflow",
                lambda: sides.in_turns(INFERRED, size.inferred),
            ),
            "burst": (
                f"{BURST} trainings without a model at once, {SLOTS} slots",
                lambda: sides.bursts(WITHOUT_MODEL, size.bursts),
            ),
            "cold": (
                'training without a model, cold (`"warm": false`)',
                lambda: sides.in_turns(WITHOUT_MODEL, size.pairs, warm=False),
            ),
        }
        for row_id, (what, take) in figures.items():
            if row_id in wanted:
                asgard, hand = await take()
                peer = BY_HAND if row_id != "burst" else f"{BY_HAND}, {SLOTS} at a time"
                yield Row(
                    id=row_id, what=what, unit="s", peer=peer, asgard=asgard, peer_values=hand
                )
        if "second-job-memory" in wanted:
            script = "import os\n" + WITHOUT_MODEL + WAITS
            with_asgard, by_hand = [], []
            for _ in range(size.memory):
                by_hand.append(await sides.memory_by_hand(script))
                with_asgard.append(await sides.memory_with_asgard(script))
            yield Row(
                id="second-job-memory",
                what="memory that a second concurrent warm training adds (PSS)",
                unit="MB",
                peer=BY_HAND,
                asgard=with_asgard,
                peer_values=by_hand,
            )


BENCH = Bench(
    ids=("training", "model", "inferred", "burst", "cold", "second-job-memory"),
    measure=measure,
    full=Size(),
    quick=Size(repetitions=2, inferred=1, pairs=2, bursts=1, memory=1),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
