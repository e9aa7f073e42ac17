"""Jobs in one built environment, compared with `venv/bin/python train.py` in the same one.

Both sides use the same interpreter, packages and MLflow. The first job runs as soon as the
environment exists, and its values do not contain the build; the environment is built three times.
`root` and `user` are the users of the service and of the script by hand.
"""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence, Set
from pathlib import Path
from typing import Any

from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from benchmarks.embedded import mlflow_uri
from benchmarks.figures import Row
from tests.support.eventually import eventually
from tests.support.service import Service, running_service
from tests.support.service_users import IS_ROOT, launcher, launcher_for_ordinary_user

REQUIREMENTS = ["xgboost", "scikit-learn"]
SCRIPT = """
import mlflow
import xgboost
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

features, labels = make_classification(n_samples=2_000, n_features=30, random_state=42)
train_x, test_x, train_y, test_y = train_test_split(features, labels, random_state=42)
with mlflow.start_run():
    model = xgboost.XGBClassifier(n_estimators=50, max_depth=4, n_jobs=1)
    model.fit(train_x, train_y)
    mlflow.log_metric("accuracy", accuracy_score(test_y, model.predict(test_x)))
"""
FIGURES = {
    "first": ("the first job in a new environment", "by hand"),
    "third": ("the third and later jobs in it", "by hand"),
    "burst": ("10 jobs at once, 2 slots", "by hand, 2 at a time"),
}
IDS = tuple(f"built-{figure}-{who}" for who in ("root", "user") for figure in FIGURES)
SLOTS = 2
BURST = 10
REPETITIONS = 3
SETTINGS = {
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": str(SLOTS),
    "ASGARD_TRACKING__SETTLE_SECONDS": "60",
}


class Sides:
    """A service with one built environment, and scripts run by hand in it."""

    def __init__(self, service: Service, prefix: Sequence[str]) -> None:
        """`prefix` starts commands as the service's user."""
        self._service = service
        self._prefix = prefix
        self.starts: dict[str, int] = {}
        """The number of jobs by manner of start."""

    async def job(self) -> tuple[float, float]:
        """Run a job; return the seconds from submission to completion, without and with waiting for
        the environment."""
        begun = time.perf_counter()
        job_id = await self._service.submit(SCRIPT, requirements=REQUIREMENTS)
        path = f"/mlops/training/jobs/{job_id}/logs/ws"
        async with self._service.session.ws_connect(self._service.url + path) as stream:
            while (await stream.receive_json())["type"] != "end":
                pass
        seconds = time.perf_counter() - begun
        job = await self._service.job(job_id)
        assert job["status"] == "completed", job
        assert job["run_id"], job
        start = job["start"] + (f" ({job['cold_reason']})" if job["cold_reason"] else "")
        self.starts[start] = self.starts.get(start, 0) + 1
        return seconds - job["timings"]["environment"], seconds

    @property
    def environment(self) -> CachedEnvironment:
        (environment,) = EnvironmentCache(self._service.data_dir / "environments").all()
        return environment

    async def no_environment(self) -> None:
        """Delete the environment, so that the next job builds a new one."""
        cache = EnvironmentCache(self._service.data_dir / "environments")

        async def is_gone() -> bool:
            # a keeper may hold it for another moment
            await asyncio.to_thread(cache.prune, max_bytes=0)
            return not cache.all()

        await eventually(is_gone, what="the environment is deleted")

    async def hand(self, folder: Path) -> float:
        """Run the script by hand, in the job's environment."""
        (folder / "train.py").write_text(SCRIPT)
        variables = {
            "MLFLOW_TRACKING_URI": await mlflow_uri(self._service),
            "MLFLOW_EXPERIMENT_NAME": "by-hand",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
        }
        # `date` leaves out the time that it takes to become the user
        run = f"date +%s.%N && exec '{self.environment.python}' '{folder / 'train.py'}'"
        process = await asyncio.create_subprocess_exec(
            *self._prefix,
            *("/usr/bin/env", *(f"{name}={value}" for name, value in variables.items())),
            *("/bin/sh", "-c", run),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        ended = time.time()
        assert process.returncode == 0, output.decode()
        return ended - float(output.split()[0])

    async def bursts(self, folder: Path) -> tuple[float, float]:
        """Return the seconds of ten jobs at once, and of ten scripts by hand, two at a time."""
        slots = asyncio.Semaphore(SLOTS)

        async def one_by_hand() -> None:
            async with slots:
                await self.hand(folder)

        begun = time.perf_counter()
        await asyncio.gather(*(self.job() for _ in range(BURST)))
        between = time.perf_counter()
        await asyncio.gather(*(one_by_hand() for _ in range(BURST)))
        return between - begun, time.perf_counter() - between


async def _rows(
    who: str, service: Service, prefix: Sequence[str], folder: Path
) -> AsyncIterator[Row]:
    sides = Sides(service, prefix)
    await mlflow_uri(service)
    first, with_build, later, hand = [], [], [], []
    is_late = False
    for _ in range(REPETITIONS):
        await sides.no_environment()
        seconds, whole = await sides.job()
        first.append(seconds)
        with_build.append(f"{whole:.1f}")
        is_late |= not sides.environment.is_compiled
        hand.append(await sides.hand(folder))
    remark = f"with the build, the first one with downloads: {', '.join(with_build)} s"
    if is_late:
        remark += "; some modules were compiled next to the job"
    await eventually(lambda: sides.environment.is_compiled, what="the environment is compiled")
    await sides.job()
    for _ in range(REPETITIONS):
        later.append((await sides.job())[0])
        hand.append(await sides.hand(folder))
    burst, burst_by_hand = await sides.bursts(folder)
    starts = ", ".join(f"{count} × {start}" for start, count in sides.starts.items())
    values: dict[str, tuple[list[float], list[float], str]] = {
        "first": (first, hand, remark),
        "third": (later, hand, ""),
        "burst": ([burst], [burst_by_hand], f"starts: {starts}"),
    }
    for figure, (asgard, by_hand, note) in values.items():
        what, peer = FIGURES[figure]
        yield Row(
            id=f"built-{figure}-{who}",
            what=f"{what} ({', '.join(REQUIREMENTS)}, mlflow), `{who}`",
            unit="s",
            peer=peer,
            asgard=asgard,
            peer_values=by_hand,
            remark=note,
        )


async def measure(wanted: Set[str], folder: Path) -> AsyncIterator[Row]:
    """Measure the wanted rows; `root` only if this process is root."""
    uv_cache: Path | None = None
    for who in ("root", "user"):
        if wanted.isdisjoint(f"built-{figure}-{who}" for figure in FIGURES):
            continue
        if who == "root" and not IS_ROOT:
            continue
        data_dir, scripts = folder / who / "data", folder / who / "by-hand"
        data_dir.parent.mkdir()
        scripts.mkdir()
        scripts.chmod(0o777)
        prefix: Sequence[str]
        if who == "root":
            data_dir.mkdir()
            prefix = launcher(0, data_dir)
        else:
            prefix = launcher_for_ordinary_user(data_dir)
        if uv_cache is not None:
            await asyncio.to_thread(_copy, uv_cache, data_dir)
        settings: dict[str, Any] = SETTINGS
        async with running_service(data_dir, settings, prefix) as service:
            async for row in _rows(who, service, prefix, scripts):
                yield row
        uv_cache = data_dir / "cache" / "uv"


def _copy(uv_cache: Path, data_dir: Path) -> None:
    """Give a service the downloads of another one."""
    owner = data_dir.stat()
    shutil.copytree(uv_cache, data_dir / "cache" / "uv", symlinks=True)
    for parent, _, files in os.walk(data_dir):
        for path in (parent, *(f"{parent}/{name}" for name in files)):
            os.lchown(path, owner.st_uid, owner.st_gid)
