"""Cost of environments: the phase `environment` of jobs, compared with venv and pip.

    python -m benchmarks.environments [--rounds 1] [--found 3]

First the example trainings, with models logged and registered: from an empty cache, and again with
the environment cached. Then a new environment of scikit-learn and pandas with uv's cache filled,
compared with pip and pip's cache filled. Asgard adds mlflow and its dependencies to an environment;
pip installs the same packages in the same versions, and once more only the requested ones.

Last, jobs in one built environment against the same script by hand in it; see built_jobs.py.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from pathlib import Path

from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from benchmarks import built_jobs
from benchmarks.bench import Bench, run
from benchmarks.figures import Row
from tests.support.service import Service, running_service

TRAININGS = Path(__file__).parent.parent / "examples" / "trainings"
EXAMPLES = {
    "lightgbm_classifier.py": ["lightgbm"],
    "xgboost_classifier.py": ["xgboost"],
}
# Asgard's own environment does not satisfy iniconfig<2, so an environment is built
REQUESTED = ["scikit-learn", "pandas", "iniconfig<2"]
IMPORTS = "import sklearn.ensemble, pandas, iniconfig, mlflow\n"
SETTINGS = {"ASGARD_TRACKING__SETTLE_SECONDS": "60"}
COLD = {"ASGARD_WARM__ENABLED": "false"}
NEW_IDS = ("env-new", "env-new-asked", "env-first-import")


@dataclass(frozen=True)
class Size:
    """New environments, 0 for none (pip takes minutes); jobs per example with a cached one."""

    rounds: int = 1
    found: int = 3


async def finished(service: Service, script: str, **fields: object) -> dict[str, float]:
    """Run a job to its end; return the seconds in each phase."""
    job = await service.finished(await service.submit(script, **fields), within=900)
    assert job["status"] == "completed", job
    assert "mlflow.start_run" not in script or job["model_version"], job
    timings: dict[str, float] = job["timings"]
    return timings


async def examples(service: Service, jobs: int) -> Row:
    built: list[float] = []
    found: list[float] = []
    for script, requirements in EXAMPLES.items():
        source, name = (TRAININGS / script).read_text(), script.removesuffix(".py")
        for number in range(1 + jobs):
            timings = await finished(service, source, requirements=requirements, model_name=name)
            (found if number else built).append(1000 * timings["environment"])
    return Row(
        id="env-cached",
        what="phase environment of lightgbm_classifier.py and xgboost_classifier.py; cached",
        unit="ms",
        peer="the same with an empty cache",
        asgard=found,
        peer_values=built,
    )


async def seconds_of(*command: str, **variables: str) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return time.perf_counter() - begun


async def with_pip(folder: Path, requirements: Path) -> float:
    """Seconds of `python -m venv` and `pip install`, with pip's cache."""
    venv = folder / "by-pip"
    variables = {"PIP_CACHE_DIR": str(folder / "pip-cache")}
    seconds = await seconds_of(sys.executable, "-m", "venv", "--clear", str(venv))
    install = ("-m", "pip", "install", "--disable-pip-version-check", "-r", str(requirements))
    return seconds + await seconds_of(str(venv / "bin" / "python"), *install, **variables)


def packages(environment: CachedEnvironment) -> list[str]:
    """The installed packages of an environment, with versions."""
    (site,) = (environment.directory / "venv" / "lib").glob("python*/site-packages")
    names = (path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info"))
    return sorted("==".join(name.rsplit("-", 1)) for name in names)


async def new_environments(service: Service, folder: Path, rounds: int) -> AsyncIterator[Row]:
    cache = EnvironmentCache(service.data_dir / "environments")

    async def with_asgard() -> dict[str, float]:
        await asyncio.to_thread(cache.prune, max_bytes=0)
        return await finished(service, IMPORTS, requirements=REQUESTED)

    await with_asgard()  # fills uv's cache
    (environment,) = cache.all()
    same, requested = folder / "same.txt", folder / "asked.txt"
    same.write_text("\n".join(packages(environment)))
    requested.write_text("\n".join(REQUESTED))
    await with_pip(folder, same)  # fills pip's
    with_uv, first, again, same_by_pip, fewer_by_pip = [], [], [], [], []
    for _ in range(rounds):
        timings = await with_asgard()
        with_uv.append(timings["environment"])
        first.append(timings["running"])
        again.append((await finished(service, IMPORTS, requirements=REQUESTED))["running"])
        same_by_pip.append(await with_pip(folder, same))
        fewer_by_pip.append(await with_pip(folder, requested))
    count = len(same.read_text().split())
    what = f"a new environment of {', '.join(REQUESTED)}, and mlflow"
    for row_id, peer, values in (
        ("env-new", f"python -m venv, pip install of the same {count} packages", same_by_pip),
        (
            "env-new-asked",
            "python -m venv, pip install of the requested packages only",
            fewer_by_pip,
        ),
    ):
        yield Row(id=row_id, what=what, unit="s", peer=peer, asgard=with_uv, peer_values=values)
    # pip compiles all modules on installation, uv leaves that to the first import
    yield Row(
        id="env-first-import",
        what="a script of imports, first run in a new environment",
        unit="s",
        peer="the same script, second run",
        asgard=first,
        peer_values=again,
    )


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    if "env-cached" in wanted:
        async with running_service(folder / "examples", SETTINGS) as service:
            yield await examples(service, size.found)
    if size.rounds and not wanted.isdisjoint(NEW_IDS):
        # a fork server would keep the environment in use, but it must be built again
        async with running_service(folder / "new", SETTINGS | COLD) as service:
            async for row in new_environments(service, folder, size.rounds):
                yield row
    async for row in built_jobs.measure(wanted, folder):
        yield row


BENCH = Bench(
    ids=("env-cached", *NEW_IDS, *built_jobs.IDS),
    measure=measure,
    full=Size(),
    quick=Size(rounds=0, found=1),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
