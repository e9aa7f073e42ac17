"""Source distributions with greedy or endless builds."""

import contextlib
import secrets
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from asgard_async.supervisor.shim import cgroup
from tests.support.eventually import SLOWNESS, eventually
from tests.support.limit_scripts import FILLER, FORK_BOMB, HIDING, MEMORY_HOG
from tests.support.package_index import package_index
from tests.support.processes import builds_below, state_of
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.wheels import make_sdist

pytestmark = [
    pytest.mark.service,
    pytest.mark.usefixtures("control_groups"),
    pytest.mark.asyncio(loop_scope="module"),
]

BUILD = """
import subprocess, sys
def make():
    with open("program.py", "w") as file:
        file.write({program!r})
    subprocess.run([sys.executable, "program.py"], check=True)
    return {{"{name}.py": ""}}
"""
LIMITS = {
    "ASGARD_LIMITS__MEMORY_MB": "256",
    "ASGARD_LIMITS__PROCESSES": "64",
    "ASGARD_LIMITS__JOB_DIR_MB": "100",
    "ASGARD_ENVIRONMENTS__BUILD_TIMEOUT": f"{60 * SLOWNESS:.0f}",
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "3",
    "ASGARD_WARM__ENABLED": "false",
}


@dataclass
class Site:
    """A service, and the packages for its environments."""

    service: Service
    packages: Path

    async def building(self, program: str) -> str:
        """Run a job that needs a package whose build runs a program."""
        name = f"hostile_{secrets.token_hex(4)}"
        make_sdist(self.packages, name, BUILD.format(program=program, name=name))
        return await self.service.submit(f"import {name}", requirements=[name])

    async def built(self, program: str) -> dict[str, Any]:
        return await self.service.finished(await self.building(program))

    def group_of_build(self) -> str | None:
        attempts = self.service.data_dir.glob("environments/builds/*/1")
        groups = [group for attempt in attempts for group in cgroup.recorded(str(attempt))]
        return groups[0] if groups else None


@contextlib.asynccontextmanager
async def running_site(folder: Path, limits: Mapping[str, str]) -> AsyncIterator[Site]:
    with package_index(folder / "packages") as index:
        settings = {**WITHOUT_MLFLOW, **limits, "ASGARD_ENVIRONMENTS__INDEX_URL": index}
        async with running_service(folder / "service" / "data", settings) as service:
            status, document = await service.get("/health/ready")
            assert status == 200
            # the limits must be in place before the attacks start
            assert document["limits"]["processes"].startswith("cgroup")
            yield Site(service=service, packages=folder / "packages")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(tmp_path_factory.mktemp("site"), LIMITS) as site:
        yield site


async def is_clean(site: Site) -> None:
    """Check that nothing is left of the build, and that jobs run as before."""
    assert not builds_below(site.service.data_dir)
    assert site.group_of_build() is None
    # after a cancellation it is removed once the build has ended
    unfinished = partial(site.service.data_dir.glob, "environments/builds/*/*.new*")
    await eventually(lambda: not list(unfinished()), what="what was built is removed")
    job = await site.service.finished(await site.service.submit("print('well')"))
    assert job["logs"] == "well\n"


async def test_a_build_is_limited_in_memory(site: Site) -> None:
    job = await site.built(MEMORY_HOG)
    assert job["reason"] == "environment_failed"
    assert "[limits] memory_mb" in job["error"]
    await is_clean(site)


async def test_a_build_is_limited_in_processes(site: Site) -> None:
    # uv reads until all of them have exited
    job = await site.built(FORK_BOMB.replace("time.sleep(20)", "time.sleep(2)"))
    assert job["reason"] == "environment_failed"
    assert "Errno 11" in job["logs"]
    await is_clean(site)


@pytest.mark.parametrize("place", ["'.'", "os.environ['TMPDIR']", "os.environ['HOME']"])
async def test_a_build_filling_the_disk_is_stopped(site: Site, place: str) -> None:
    job = await site.built(f"import os\nPLACE = {place}\n{FILLER}")
    assert job["reason"] == "environment_failed"
    assert "[limits] job_dir_mb" in job["error"]
    await is_clean(site)


async def hiding(site: Site) -> tuple[str, list[int]]:
    """Submit a job whose build hides five processes; return its id and all pids of the build."""
    job_id = await site.building(HIDING)
    pids: list[int] = []

    def all_there() -> bool:
        group = site.group_of_build()
        pids[:] = cgroup.processes_in(group) if group else []
        return commands_of(pids).count("sleep") == 1 and commands_of(pids).count("python") >= 4

    await eventually(all_there, what="the hidden processes are in the build's group")
    return job_id, pids


def commands_of(pids: list[int]) -> list[str]:
    listing = subprocess.run(
        ["ps", "-o", "comm=", "-p", ",".join(map(str, pids or [0]))],
        capture_output=True,
        text=True,
        check=False,
    )
    return listing.stdout.split()


async def test_a_cancelled_build_leaves_no_hidden_processes(site: Site) -> None:
    job_id, pids = await hiding(site)
    await site.service.post(f"/mlops/training/jobs/{job_id}/cancel")
    assert (await site.service.finished(job_id))["status"] == "cancelled"
    await eventually(lambda: all(state_of(pid) in {None, "Z"} for pid in pids))
    await eventually(lambda: not builds_below(site.service.data_dir), what="the build is over")
    await is_clean(site)


async def test_a_build_is_limited_in_time(tmp_path: Path) -> None:
    async with running_site(
        tmp_path, LIMITS | {"ASGARD_ENVIRONMENTS__BUILD_TIMEOUT": f"{10 * SLOWNESS:.0f}"}
    ) as site:
        job_id, pids = await hiding(site)
        job = await site.service.finished(job_id)
        assert job["reason"] == "environment_failed"
        assert "[environments] build_timeout" in job["error"]
        assert all(state_of(pid) in {None, "Z"} for pid in pids)
        await is_clean(site)
