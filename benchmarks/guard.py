"""The guard of the embedded MLflow: time per call and memory, with and without it.

    python -m benchmarks.guard [--calls 300]

Two services run side by side. The same calls, with the token of an attempt, go to one MLflow and
then to the other. `guard-cost` contains the difference of each pair.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, run
from benchmarks.figures import Row
from benchmarks.memory import pss_mb
from tests.support.guarded_mlflow import GuardedMlflow, guarded_mlflow
from tests.support.processes import processes_with

PEER = 'the same without the guard ([mlflow] guard = "off")'
METRICS = [{"key": f"m{number}", "value": 1, "timestamp": 1, "step": 1} for number in range(10)]
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"


@dataclass(frozen=True)
class Size:
    """Calls of each kind."""

    calls: int = 300


class Side:
    """One of the two servers, with a run to write to."""

    def __init__(self, mlflow: GuardedMlflow) -> None:
        self._mlflow = mlflow
        self._token = mlflow.attempt("ann")
        self.experiment_id = self.run_id = ""

    async def prepare(self) -> None:
        api = self._mlflow.api(self._token)
        self.experiment_id = (await api.post("experiments/create", name="bench"))["experiment_id"]
        run = await api.post("runs/create", experiment_id=self.experiment_id)
        self.run_id = run["run"]["info"]["run_id"]

    async def get_experiment(self) -> None:
        await self._get("experiments/get", experiment_id=self.experiment_id)

    async def get_run(self) -> None:
        await self._get("runs/get", run_id=self.run_id)

    async def create_run(self) -> None:
        await self._post("runs/create", experiment_id=self.experiment_id)

    async def log_metric(self) -> None:
        await self._post("runs/log-metric", run_id=self.run_id, key="m", value=1, timestamp=1)

    async def log_batch(self) -> None:
        await self._post("runs/log-batch", run_id=self.run_id, metrics=METRICS)

    async def put_artifact(self) -> None:
        path = f"{ARTIFACTS}{self.experiment_id}/{self.run_id}/artifacts/a.txt"
        status, text = await self._mlflow.ask("PUT", path, self._token, data=b"data")
        assert status == 200, text

    def memory_mb(self) -> float:
        service = self._mlflow.service
        return pss_mb(set(processes_with(str(service.data_dir / "mlflow"))) - {service.pid})

    async def _get(self, endpoint: str, **params: str) -> Any:
        return await self._mlflow.api(self._token).get(endpoint, **params)

    async def _post(self, endpoint: str, **body: Any) -> Any:
        return await self._mlflow.api(self._token).post(endpoint, **body)


CALLS: dict[str, tuple[str, Callable[[Side], Awaitable[None]]]] = {
    "guard-experiment": ("experiments/get", Side.get_experiment),
    "guard-run": ("runs/get", Side.get_run),
    "guard-create": ("runs/create", Side.create_run),
    "guard-metric": ("runs/log-metric", Side.log_metric),
    "guard-batch": ("runs/log-batch, 10 metrics", Side.log_batch),
    "guard-artifact": ("upload of an artifact", Side.put_artifact),
}


async def milliseconds(call: Awaitable[None]) -> float:
    begun = time.perf_counter()
    await call
    return (time.perf_counter() - begun) * 1000


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    async with AsyncExitStack() as stack:
        sides = []
        for guard in ("auto", "off"):
            settings = {"ASGARD_MLFLOW__GUARD": guard}
            mlflow = await stack.enter_async_context(
                guarded_mlflow(folder / guard / "data", settings)
            )
            sides.append(Side(mlflow))
            await sides[-1].prepare()
        with_guard, without = sides
        differences: list[float] = []
        for row_id, (what, call) in CALLS.items():
            guarded, unguarded = [], []
            for side in (with_guard, without):
                await call(side)  # imports what the first call needs
            for _ in range(size.calls):
                guarded.append(await milliseconds(call(with_guard)))
                unguarded.append(await milliseconds(call(without)))
            differences += [one - other for one, other in zip(guarded, unguarded, strict=True)]
            yield _row(row_id, f"MLflow with guard: {what}", "ms", guarded, unguarded)
        yield Row(
            id="guard-cost",
            what="MLflow with guard: additional time of any of these calls",
            unit="ms",
            peer="",
            asgard=differences,
            remark="difference to the same call without the guard",
        )
        memory = [[side.memory_mb()] for side in (with_guard, without)]
        yield _row("guard-memory", "MLflow with guard: memory after these calls", "MB", *memory)


def _row(row_id: str, what: str, unit: str, guarded: list[float], unguarded: list[float]) -> Row:
    return Row(id=row_id, what=what, unit=unit, peer=PEER, asgard=guarded, peer_values=unguarded)


BENCH = Bench(
    ids=(*CALLS, "guard-cost", "guard-memory"), measure=measure, full=Size(), quick=Size(calls=20)
)

if __name__ == "__main__":
    run(BENCH, __doc__)
