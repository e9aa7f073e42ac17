"""Jobs with requirements: environments are built once, cached, shared, cancelled and adopted.

The packages come from an index of the test, with an empty mlflow; the build of
`slow` takes until the test releases it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.package_index import package_index
from tests.support.processes import builds_below
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.wheels import make_sdist, make_wheel

pytestmark = pytest.mark.service

BUILD_SECONDS = 300
USES = "import small, sys\nprint('uses', small.__name__, sys.prefix)"
SLOW = """
def make():
    import os, time
    while not os.path.exists({go!r}):
        time.sleep(0.02)
    return {{"slow.py": ""}}
"""


@dataclass
class Site:
    """A package index, settings of a service that uses it, and the file that `slow` waits for."""

    data_dir: Path
    settings: dict[str, str]
    go: Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    data_dir = tmp_path / "service" / "data"
    go = data_dir.parent / "go"
    with package_index(tmp_path / "packages") as index:
        for version in ("1", "2"):
            large = {"large.txt": "x" * 2_000_000}
            make_wheel(tmp_path / "packages", "small", "", version=version, further=large)
        make_sdist(tmp_path / "packages", "slow", SLOW.format(go=str(go)))
        settings = {
            **WITHOUT_MLFLOW,
            "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "10",
            "ASGARD_ENVIRONMENTS__INDEX_URL": index,
        }
        yield Site(data_dir=data_dir, settings=settings, go=go)


@pytest.fixture
async def service(site: Site) -> AsyncIterator[Service]:
    async with running_service(site.data_dir, site.settings) as started:
        yield started


async def test_an_environment_is_built_once_and_reused(service: Service) -> None:
    jobs = await asyncio.gather(
        *(service.submit(USES, requirements=["small<2"]) for _ in range(10))
    )
    for job_id in jobs:
        job = await service.finished(job_id, within=BUILD_SECONDS)
        assert (job["status"], job["error"]) == ("completed", None)
        assert "small==1" in job["logs"]
        assert job["logs"].splitlines()[-1].startswith("uses small ")
        assert job["timings"]["environment"] > 0
    builds = list(service.data_dir.glob("environments/builds/*/*/exit.json"))
    assert len(builds) == 1
    # the same requirements in another spelling mean the same environment
    again = await service.finished(await service.submit(USES, requirements=[" Small < 2"]))
    assert again["logs"].startswith("uses small ")
    assert again["timings"]["environment"] < job["timings"]["environment"]


async def test_an_environment_larger_than_the_cache_is_used(site: Site) -> None:
    settings = site.settings | {"ASGARD_ENVIRONMENTS__MAX_CACHE_MB": "1"}
    async with running_service(site.data_dir, settings) as service:
        job_id = await service.submit(USES, requirements=["small<2"])
        assert (await service.finished(job_id, within=BUILD_SECONDS))["status"] == "completed"
        # files of the build are removed at the next start
        await service.end()
        await service.start()
        await eventually(lambda: not list(service.data_dir.glob("environments/builds/*")))


async def test_a_build_that_cannot_start_fails_the_job(service: Service) -> None:
    (service.data_dir / "environments" / "builds").write_text("in the way")
    job = await service.finished(await service.submit(USES, requirements=["small<2"]))
    assert job["reason"] == "environment_failed"
    assert "could not be started" in job["error"]


async def test_a_missing_requirement_fails_the_build_phase(service: Service) -> None:
    job_id = await service.submit("print('never')", requirements=["no-such-package-of-asgard"])
    job = await service.finished(job_id, within=BUILD_SECONDS)
    assert (job["status"], job["reason"]) == ("failed", "environment_failed")
    assert "no-such-package-of-asgard was not found" in job["error"]
    assert job["error"] in job["logs"]
    assert job["started_at"] is None
    assert [entry["phase"] for entry in job["history"]] == ["queued", "environment", "finished"]


async def test_a_cancelled_job_stops_its_build(service: Service, site: Site) -> None:
    job_id = await service.submit(USES, requirements=["small<2", "slow"])
    await service.phase(job_id, "environment")
    await eventually(lambda: builds_below(service.data_dir), what="a build runs")
    await service.post(f"/mlops/training/jobs/{job_id}/cancel")
    job = await service.finished(job_id)
    assert (job["status"], job["reason"]) == ("cancelled", "cancelled")
    await eventually(lambda: not builds_below(service.data_dir), what="the build stopped")
    # and no half-built environment is used afterwards
    site.go.touch()
    again = await service.submit(USES, requirements=["small<2", "slow"])
    assert (await service.finished(again, within=BUILD_SECONDS))["status"] == "completed"


@pytest.mark.parametrize("repetitions", [3, pytest.param(30, marks=pytest.mark.soak)])
async def test_an_early_cancellation_leaves_no_build(service: Service, repetitions: int) -> None:
    """Even when the process of the build was started but is not yet known to run."""
    for number in range(repetitions):
        job_id = await service.submit(USES, requirements=["slow", f"small<{number + 2}"])
        await service.phase(job_id, "environment")
        await service.post(f"/mlops/training/jobs/{job_id}/cancel")
        await service.finished(job_id)
    await eventually(lambda: not builds_below(service.data_dir), what="the builds stopped")


async def test_a_build_outlives_the_service_and_is_adopted(service: Service, site: Site) -> None:
    job_id = await service.submit(USES, requirements=["small<2", "slow"])
    await eventually(lambda: builds_below(service.data_dir), what="a build runs")
    await service.kill()
    await service.start()
    site.go.touch()
    job = await service.finished(job_id, within=BUILD_SECONDS)
    assert job["status"] == "completed"
    assert job["logs"].count("Resolved ") == 1
    assert len(list(service.data_dir.glob("environments/builds/*/*/exit.json"))) == 1


async def test_a_killed_build_is_rebuilt_from_scratch(service: Service, site: Site) -> None:
    job_id = await service.submit(USES, requirements=["small<2", "slow"])
    await eventually(
        lambda: list(service.data_dir.glob("environments/builds/*/*.new/venv/bin/python")),
        what="half an environment",
    )
    await service.kill()
    for pid in builds_below(service.data_dir):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not builds_below(service.data_dir))
    site.go.touch()
    await service.start()
    job = await service.finished(job_id, within=BUILD_SECONDS)
    assert (job["status"], job["error"]) == ("completed", None), job


PACKAGES = """
from importlib.metadata import distributions
import small
print(sorted(one.name for one in distributions()))
"""


async def test_only_programs_that_import_mlflow_get_it(site: Site) -> None:
    async with running_service(site.data_dir, site.settings) as service:

        async def packages(script: str) -> str:
            job = await service.finished(await service.submit(script, requirements=["small"]))
            assert job["reason"] == "succeeded", job
            return str(job["logs"].splitlines()[-1])

        assert "'small'" in await packages(PACKAGES)
        assert "'mlflow'" not in await packages(PACKAGES)
        assert "'mlflow'" in await packages(f"{PACKAGES}\n__import__('mlflow')")
        # the environment with mlflow is there now
        assert "'mlflow'" in await packages(PACKAGES)
