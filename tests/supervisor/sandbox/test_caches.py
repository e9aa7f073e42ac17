"""Caches of jobs are private to their owner, at each level that isolates jobs."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.supervisor.sandbox.caches import JobCaches
from asgard_async.supervisor.shim import landlock
from tests.support.service import Service, submission
from tests.support.service_users import IS_ROOT, isolating_service

LEAVE = """
import os, pathlib
cache = pathlib.Path(os.environ["XDG_CACHE_HOME"])
print("found", sorted(os.listdir(cache)))
(cache / os.environ["LEFT"]).write_text("poison")
for folder, _, names in os.walk(os.environ["CACHES"]):
    for name in names:
        try:
            print(name, pathlib.Path(folder, name).read_text())
        except OSError:
            pass
"""
LITE = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
ROOT = pytest.mark.skipif(not IS_ROOT, reason="a service that is root: the tests are not")


@pytest.fixture(
    params=[
        pytest.param(("sandbox", "ordinary"), id="sandbox-ordinary"),
        pytest.param(("sandbox", "root"), id="sandbox-root", marks=ROOT),
        pytest.param(("sandbox-lite", "ordinary"), id="sandbox-lite-ordinary", marks=LITE),
        pytest.param(("sandbox-lite", "root"), id="sandbox-lite-root", marks=[LITE, ROOT]),
        pytest.param(("user", "root"), id="user-root", marks=ROOT),
    ]
)
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    level, who = request.param
    async with isolating_service(level, who, tmp_path, ASGARD_WARM__ENABLED="false") as running:
        yield running


async def token(service: Service, name: str) -> dict[str, str]:
    # as the service was started: the directory's owner cannot reach it otherwise
    made = await asyncio.create_subprocess_exec(
        *(*service.launcher, sys.executable, "-m", "asgard_async"),
        *("token", "create", "--name", name, "--data-dir", str(service.data_dir)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await made.communicate()
    assert made.returncode == 0
    return {"Authorization": f"Bearer {output.decode().split()[0]}"}


async def left(service: Service, headers: dict[str, str], name: str) -> str:
    """Run a job of an owner that leaves a file in its caches; return what it found there."""
    service.session.headers.update(headers)
    caches = str(service.data_dir / "cache" / "jobs")
    status, job = await service.post(
        "/mlops/training/upload",
        json=submission(LEAVE, environment_vars={"LEFT": name, "CACHES": caches}),
    )
    assert status == 202, job
    done = await service.finished(job["job_id"])
    assert done["reason"] == "succeeded", done["logs"]
    logs: str = done["logs"]
    return logs


@pytest.mark.service
async def test_caches_are_found_only_by_their_owner(service: Service) -> None:
    anna, berta = await token(service, "anna"), await token(service, "berta")
    assert "found []" in await left(service, anna, "first")
    of_berta = await left(service, berta, "second")
    assert "found []" in of_berta
    assert "first" not in of_berta
    of_anna = await left(service, anna, "third")
    assert "found ['first']" in of_anna
    assert "second" not in of_anna


def test_caches_in_use_are_not_removed(tmp_path: Path) -> None:
    caches = JobCaches(tmp_path)
    cache = caches.of("base", "anna")
    with caches.opened(cache, None) as directory:
        (directory / "model").touch()
        assert [one.name for one in caches.all()] == [cache.name]
        assert not cache.remove()
        assert (directory / "model").exists()
    assert cache.remove()
    assert caches.all() == []
    with caches.opened(cache, None) as directory:
        assert list(directory.iterdir()) == []


def test_interrupted_removals_are_finished(tmp_path: Path) -> None:
    caches = JobCaches(tmp_path)
    with caches.opened(caches.of("base", "anna"), None):
        pass
    killed = tmp_path / "base" / ".0123.4567"
    killed.mkdir()
    caches.sweep()
    assert not killed.exists()
    assert len(caches.all()) == 1
