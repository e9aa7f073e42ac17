"""This checkout compared with an older one: start, memory, jobs, log latency, accepts, status.

    python -m benchmarks.compare_versions --before DIRECTORY [--rounds 3] [--only start,jobs]

Both versions run with this interpreter and its packages. Each round measures both, in alternating
order; the table has medians over the rounds and the ratio of this checkout to the older one. No
MLflow server is started, and fork servers preload almost nothing, so Asgard alone is measured.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.accepts import accepts
from benchmarks.figures import load_average, number, shown, spread
from benchmarks.job_cost import Sides
from benchmarks.load import in_turns
from benchmarks.logs import latency
from benchmarks.names import names_among
from benchmarks.service_memory import resident_mb, run_jobs
from benchmarks.service_start import seconds_to_live
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

HERE = Path(__file__).resolve().parents[1]
JOBS, UPLOADS, CLIENTS, LINES, STATUS_SECONDS = 60, 200, 16, 100, 2.0
"""The amount of work in one round of one version."""
TWO_SLOTS = {**WITHOUT_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "2"}
ONE_BUSY_SLOT = {
    **WITHOUT_MLFLOW,
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
    "ASGARD_JOBS__MAX_QUEUED_JOBS": "1000000",
}


@dataclass(frozen=True, kw_only=True)
class Version:
    """A checkout of Asgard that can be started."""

    name: str
    checkout: Path

    def check(self) -> None:
        """Check that the interpreter imports Asgard from this checkout.

        Raises:
            SystemExit: The checkout has no package, or another one is imported instead.
        """
        done = subprocess.run(
            [sys.executable, "-c", "import asgard_async; print(asgard_async.__file__)"],
            cwd=self.checkout,
            env={**os.environ, "PYTHONPATH": str(self.checkout)},
            capture_output=True,
            text=True,
            check=False,
        )
        if Path(done.stdout.strip()).parent.parent != self.checkout:
            raise SystemExit(f"{self.checkout} is not a checkout of Asgard. {done.stderr.strip()}")

    def launcher(self) -> Sequence[str]:
        """The beginning of a command that runs `python -m asgard_async` from this checkout."""
        return ("env", f"--chdir={self.checkout}", f"PYTHONPATH={self.checkout}")

    def service(self, data_dir: Path, settings: Mapping[str, str]) -> Service:
        return Service(data_dir, settings, self.launcher())


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A quantity, with one value per round for each version."""

    what: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, version: Version, value: float) -> None:
        self.values.setdefault(version.name, []).append(value)


FIGURES = {
    "start": ("process started → /health/live answers", "s"),
    "memory": ("resident memory of the service, idle after ten jobs", "MB"),
    "jobs": (f"{JOBS} one-line jobs, 2 at once", "jobs/s"),
    "log": ("a line printed → seen over the WebSocket", "ms"),
    "accepts": (f"uploads accepted (202, durable), {CLIENTS} clients", "/s"),
    "status": ("/mlops/status, 16 connections", "/s"),
}


class Comparison:
    """Measures two versions, in rounds of alternating order."""

    def __init__(self, versions: Sequence[Version], rounds: int, folder: Path) -> None:
        self._versions = versions
        self._rounds = rounds
        self._folder = folder
        self.figures = {
            name: Figure(what=what, unit=unit) for name, (what, unit) in FIGURES.items()
        }

    async def measure(self, wanted: set[str]) -> None:
        """Measure the wanted figures."""
        if wanted & {"start", "memory"}:
            await self._in_rounds(self._start_and_idle)
        if wanted & {"jobs", "log", "status"}:
            async with self._both("two-slots", TWO_SLOTS) as services:
                if "jobs" in wanted:
                    await self._in_rounds(lambda version: self._jobs(version, services))
                if "log" in wanted:
                    await self._in_rounds(lambda version: self._log(version, services))
                if "status" in wanted:
                    await self._status(services)
        if "accepts" in wanted:
            async with self._both("busy", ONE_BUSY_SLOT) as services:
                for service in services.values():
                    blocker = await service.submit("import time; time.sleep(3000)", timeout=3600)
                    await service.phase(blocker, "running")
                    await accepts(service, UPLOADS // 4, CLIENTS)  # warms up
                await self._in_rounds(lambda version: self._accepts(version, services))

    async def _in_rounds(self, take: Callable[[Version], Awaitable[None]]) -> None:
        for turn in range(self._rounds):
            for version in self._versions if turn % 2 else reversed(self._versions):
                await take(version)

    @asynccontextmanager
    async def _both(
        self, name: str, settings: Mapping[str, str]
    ) -> AsyncIterator[Mapping[str, Service]]:
        """A running service of each version, by its name."""
        first, second = self._versions
        folder = self._folder / name
        async with (
            running_service(folder / first.name / "data", settings, first.launcher()) as one,
            running_service(folder / second.name / "data", settings, second.launcher()) as other,
        ):
            for service in (one, other):
                await service.warm()
                await service.finished(await service.submit("print('x')"))
            yield {first.name: one, second.name: other}

    # --- one value each ---------------------------------------------------------------------------

    async def _start_and_idle(self, version: Version) -> None:
        turn = len(self.figures["start"].values.get(version.name, ()))
        data_dir = self._folder / f"start-{version.name}-{turn}" / "data"
        service = version.service(data_dir, WITHOUT_MLFLOW)
        try:
            self.figures["start"].add(version, await seconds_to_live(service))
            await service.warm()
            await run_jobs(service, 10)
            self.figures["memory"].add(version, resident_mb(service.pid))
        finally:
            await service.close()

    async def _jobs(self, version: Version, services: Mapping[str, Service]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await Sides(services[version.name], self._folder).burst_with_asgard(JOBS)
        self.figures["jobs"].add(version, JOBS / (loop.time() - begun))

    async def _log(self, version: Version, services: Mapping[str, Service]) -> None:
        milliseconds, _ = await latency(services[version.name], LINES, readers=1)
        self.figures["log"].add(version, statistics.median(milliseconds))

    async def _accepts(self, version: Version, services: Mapping[str, Service]) -> None:
        rate, _ = await accepts(services[version.name], UPLOADS, CLIENTS)
        self.figures["accepts"].add(version, rate)

    async def _status(self, services: Mapping[str, Service]) -> None:
        urls = [f"{services[version.name].url}/mlops/status" for version in self._versions]
        answers = await in_turns(urls, STATUS_SECONDS, self._rounds)
        for version, one in zip(self._versions, answers, strict=True):
            for rate in one.per_second:
                self.figures["status"].add(version, rate)


def table(figures: Mapping[str, Figure]) -> str:
    """Medians, the ratio of the new version to the old, and the spread of both."""
    lines = [f"{'':<9} {'before':>13} {'after':>13} {'ratio':>6}  spread before  |  after"]
    for name, figure in figures.items():
        before, after = figure.values.get("before", []), figure.values.get("after", [])
        if not before or not after:
            continue
        ratio = statistics.median(after) / statistics.median(before)
        lines.append(
            f"{name:<9} {shown(before, figure.unit):>13} {shown(after, figure.unit):>13}"
            f" {number(ratio):>6}  {spread(before)}  |  {spread(after)}"
        )
        lines.append(f"          {figure.what}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare_versions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--before", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--after", type=Path, default=HERE, metavar="DIRECTORY")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", type=names_among(FIGURES, "figure"), default=set(FIGURES), metavar="FIGURES"
    )
    options = parser.parse_args()
    versions = [
        Version(name="before", checkout=options.before.resolve()),
        Version(name="after", checkout=options.after.resolve()),
    ]
    for version in versions:
        version.check()
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="asgard-compare-") as folder:
        comparison = Comparison(versions, options.rounds, Path(folder))
        asyncio.run(comparison.measure(options.only))
    print(table(comparison.figures))
    print(f"\nload average: {load_before} before, {load_average()} after")
    return 0


if __name__ == "__main__":
    sys.exit(main())
