"""Source distributions that use up time, memory, disk or output, within limits and no cgroups."""

import os
import secrets
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asgard_async.environments.builder import UV_TEMPORARY_PREFIX
from tests.support.build_site import BuildSite, running_build_site
from tests.support.processes import processes_with
from tests.support.wheels import make_wheel

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20
BUILD_TIMEOUT = 15
DISK_MB = 100
ATTACKS = {
    "memory": """
import mmap
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # without reserving swap
attack("memory", lambda: mmap.mmap(-1, 8 << 30, flags=flags))
""",
    "disk": """
with open(os.environ["HOME"] + "/big", "wb") as file:
    for _ in range(400):
        file.write(bytes(1 << 20))
        file.flush()
import time; time.sleep(60)
""",
    "output": """
os.write(2, b"first line\\n")
for _ in range(100):
    os.write(2, b"x" * (1 << 20))
os._exit(3)
""",
    "time": """
if os.fork() == 0:
    os.setsid()
os.execve(sys.executable, ["python", "-I", "-S", "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)", facts["MARK"]], {})
""",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["root", "ordinary"])
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BuildSite]:
    settings = {
        "ASGARD_LIMITS__CGROUPS": "off",
        "ASGARD_LIMITS__MEMORY_MB": "512",
        "ASGARD_LIMITS__JOB_DIR_MB": str(DISK_MB),
        "ASGARD_ENVIRONMENTS__BUILD_TIMEOUT": str(BUILD_TIMEOUT),
    }
    folder = tmp_path_factory.mktemp("limited")
    async with running_build_site(folder, request.param, settings) as site:
        yield site


async def test_a_build_cannot_reserve_memory_without_bound(site: BuildSite) -> None:
    assert "held" in await site.attacked(ATTACKS["memory"])


async def test_a_build_that_fills_the_disk_is_stopped(site: BuildSite) -> None:
    job = await site.job_with(site.hostile(ATTACKS["disk"]))
    assert job["reason"] == "environment_failed"
    assert "disk limit" in job["error"], job["error"]
    _check_nothing_is_left(site.service.data_dir)


async def test_a_wheel_that_unpacks_without_end_is_stopped(site: BuildSite) -> None:
    """It is unpacked in the cache that builds share."""
    name = f"bomb_{secrets.token_hex(4)}"
    wheel = make_wheel(site.packages, name, "OUTPUT = 'whole'")
    with (
        zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros", "w") as zeros,
    ):
        for _ in range(5 * DISK_MB):
            zeros.write(bytes(MIB))
    job = await site.job_with(name)
    assert job["reason"] == "environment_failed", job
    assert "disk limit" in job["error"], job["error"]
    cache = site.service.data_dir / "cache" / "uv"
    left = [path for path in cache.iterdir() if path.name.startswith(UV_TEMPORARY_PREFIX)]
    # as long as a build may take, it may belong to another one
    for path in left:
        os.utime(path, (1, 1))
    await site.job_with("not-to-be-found", "print()")
    assert not [path for path in left if path.exists()]


async def test_endless_output_of_a_build_is_cut(site: BuildSite) -> None:
    job = await site.job_with(site.hostile(ATTACKS["output"]))
    assert job["reason"] == "environment_failed"
    assert len(job["error"]) <= 2000
    job_dir = site.service.data_dir / "jobs" / job["job_id"]
    # the logs keep their offsets, so their sizes say nothing
    assert sum(path.stat().st_blocks for path in job_dir.rglob("*")) * 512 < 80 * MIB
    peak = Path(f"/proc/{site.service.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) << 10 < 150 * MIB
    _check_nothing_is_left(site.service.data_dir)


async def test_a_build_that_hangs_is_stopped(site: BuildSite) -> None:
    mark = f"mark-{secrets.token_hex(8)}"
    job = await site.job_with(site.hostile(ATTACKS["time"], MARK=mark))
    assert job["reason"] == "environment_failed"
    assert "took longer than" in job["error"], job["error"]
    assert not processes_with(mark)
    _check_nothing_is_left(site.service.data_dir)


def _check_nothing_is_left(data_dir: Path) -> None:
    """Of the failed build only its log may remain."""
    builds = data_dir / "environments" / "builds"
    assert not [path for path in builds.glob("*/*.new*") if os.path.lexists(path)]
