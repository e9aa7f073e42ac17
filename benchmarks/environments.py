"""What environments cost: the phase `environment` of jobs, beside `python -m venv` and pip.

    python -m benchmarks.environments [--rounds 2]

First the example trainings, models logged and registered: from an empty cache, and again with the
environment in it. Then a new environment of scikit-learn and pandas with uv's cache filled, beside
pip with pip's cache filled. Asgard adds mlflow to an environment, with all that this needs; pip
gets the same packages in the same versions, and once more only those asked for.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from asgard_async.execution.environments.cache import CachedEnvironment, EnvironmentCache
from benchmarks.figures import line
from tests.service import Service, running_service

TRAININGS = Path(__file__).parent.parent / "examples" / "trainings"
EXAMPLES = {
    "random_forest.py": ["scikit-learn", "numpy"],
    "lightgbm_classifier.py": ["lightgbm"],
    "xgboost_classifier.py": ["xgboost"],
}
# iniconfig: what Asgard's own environment does not satisfy, so that one is built
ASKED_FOR = ["scikit-learn", "pandas", "iniconfig<2"]
IMPORTS = "import sklearn.ensemble, pandas, iniconfig, mlflow\n"
MAX_FOUND_SECONDS, MAX_RATIO = 0.020, 0.25


async def finished(service: Service, script: str, **fields: object) -> dict[str, float]:
    """Run a job to its end; the seconds in each of its phases."""
    job = await service.finished(await service.submit(script, **fields), within=900)
    assert job["status"] == "completed", job
    assert "mlflow.start_run" not in script or job["model_version"], job
    timings: dict[str, float] = job["timings"]
    return timings


async def examples(service: Service) -> None:
    print("Seconds in phase environment (0: the service's own environment does):")
    slowest = 0.0
    for script, requirements in EXAMPLES.items():
        source, name = (TRAININGS / script).read_text(), script.removesuffix(".py")
        built, *found = [
            (await finished(service, source, requirements=requirements, model_name=name)).get(
                "environment", 0.0
            )
            for _ in range(4)
        ]
        median = statistics.median(found)
        slowest = max(slowest, median)
        figures = f"empty cache {built:6.2f} s   full cache {median * 1000:5.1f} ms"
        line(f"{script} {requirements}", figures)
    line("full cache within 20 ms", str(slowest <= MAX_FOUND_SECONDS))


async def seconds_of(*command: str, **variables: str) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return time.perf_counter() - begun


async def with_pip(folder: Path, requirements: Path) -> float:
    """Seconds of `python -m venv` and `pip install`, with what pip has cached."""
    venv = folder / "by-pip"
    variables = {"PIP_CACHE_DIR": str(folder / "pip-cache")}
    seconds = await seconds_of(sys.executable, "-m", "venv", "--clear", str(venv))
    install = ("-m", "pip", "install", "--disable-pip-version-check", "-r", str(requirements))
    return seconds + await seconds_of(str(venv / "bin" / "python"), *install, **variables)


def packages(environment: CachedEnvironment) -> list[str]:
    """What is installed in an environment, each with its version."""
    (site,) = (environment.directory / "venv" / "lib").glob("python*/site-packages")
    names = (path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info"))
    return sorted("==".join(name.rsplit("-", 1)) for name in names)


async def new_environment(service: Service, folder: Path, rounds: int) -> None:
    cache = EnvironmentCache(service.data_dir / "environments")

    async def with_asgard() -> dict[str, float]:
        await asyncio.to_thread(cache.prune, max_bytes=0)
        return await finished(service, IMPORTS, requirements=ASKED_FOR)

    await with_asgard()  # fills uv's cache
    (environment,) = cache.all()
    same, asked = folder / "same.txt", folder / "asked.txt"
    same.write_text("\n".join(packages(environment)))
    asked.write_text("\n".join(ASKED_FOR))
    await with_pip(folder, same)  # fills pip's
    await with_pip(folder, asked)
    ours, first, again, theirs, fewer = [], [], [], [], []
    for _ in range(rounds):
        timings = await with_asgard()
        ours.append(timings["environment"])
        first.append(timings["running"])
        again.append((await finished(service, IMPORTS, requirements=ASKED_FOR))["running"])
        theirs.append(await with_pip(folder, same))
        fewer.append(await with_pip(folder, asked))
    built, by_pip = statistics.median(ours), statistics.median(theirs)
    ratio, count = built / by_pip, len(same.read_text().split())
    print(f"A new environment of {ASKED_FOR}, caches filled, median of {rounds}:")
    line(f"Asgard: phase environment, {count} packages", f"{built:7.2f} s")
    line("venv + pip install, the same packages", f"{by_pip:7.2f} s")
    line("ratio (at most 0.25)", f"{ratio:7.3f} {ratio <= MAX_RATIO}")
    line("venv + pip install, only what was asked for", f"{statistics.median(fewer):7.2f} s")
    line("ratio to that, though it has no mlflow", f"{built / statistics.median(fewer):7.3f}")
    # pip compiles all modules when it installs, uv leaves that to the first import
    line("Asgard: a script of imports, the first time", f"{statistics.median(first):7.2f} s")
    line("Asgard: the same, later", f"{statistics.median(again):7.2f} s")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"ASGARD_TRACKING__SETTLE_SECONDS": "60"}
        async with running_service(folder / "data", settings) as service:
            await examples(service)
            await new_environment(service, folder, rounds)


if __name__ == "__main__":
    asyncio.run(main())
