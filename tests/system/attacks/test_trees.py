"""Trees that jobs leave to stop the service's accounting."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.core.files.remove_tree import remove_tree
from tests.support.eventually import eventually
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.service_users import IS_ROOT, launcher_for_ordinary_user

pytestmark = pytest.mark.service

LEAVES = """
import os
def comb(directory, depth):
    here = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        for name in ("d" * 250, "e" * 250, "f" * 250):
            os.mkdir(name, dir_fd=here)
        there = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
for top in (os.environ["XDG_CACHE_HOME"], "."):
    comb(top, DEPTH)
    os.mkdir(os.fsencode(top) + b"/\\xff\\xfe")
    os.mkfifo(top + "/fifo")
    os.symlink("/", top + "/link")
    os.makedirs(top + "/closed/deeper")
    open(top + "/closed/deeper/file", "wb").write(b"x" * (1 << 20))
    for path in (top + "/closed/deeper", top + "/closed"):
        os.chmod(path, 0)
print("left")
"""
OPEN_FILES = 300
"""The service's limit, below that of most machines, so that fewer levels reach it."""
FEW_LEVELS, MANY_LEVELS = 2 * OPEN_FILES, 10 * OPEN_FILES
"""A walk that keeps every directory open fails at both. An earlier one kept every eighth."""
LARGEST_LOG = 100_000


@pytest.fixture(params=["ordinary", pytest.param("root", marks=pytest.mark.soak)])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    if request.param == "root" and not IS_ROOT:
        pytest.skip("a service that is root: the tests are not run by root")
    data_dir = tmp_path / "service" / "data"
    data_dir.parent.mkdir()
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_ISOLATION__LEVEL": "auto",
        "ASGARD_ISOLATION__READ_WRITE": "[]",
        "ASGARD_WARM__ENABLED": "false",
        "ASGARD_RETENTION__CHECK_HOURS": "0.0002",
        "ASGARD_RETENTION__JOBS_DAYS": "30",
    }
    launcher = launcher_for_ordinary_user(data_dir) if request.param == "ordinary" else ()
    limited = ("/bin/sh", "-c", f'ulimit -n {OPEN_FILES}; exec "$@"', "sh")
    async with running_service(data_dir, settings, (*launcher, *limited)) as started:
        yield started
    remove_tree(data_dir)  # pytest cannot


@pytest.mark.parametrize("depth", [FEW_LEVELS, pytest.param(MANY_LEVELS, marks=pytest.mark.soak)])
async def test_hostile_trees_do_not_stop_retention(service: Service, depth: int) -> None:
    attacker = await service.submit(LEAVES.replace("DEPTH", str(depth)))
    job = await service.finished(attacker)
    assert (job["reason"], job["logs"]) == ("succeeded", "left\n")
    expired = await service.submit("print('x')")
    await service.finished(expired)
    with sqlite3.connect(service.data_dir / "asgard.db") as database:
        database.execute(
            "UPDATE jobs SET ended_at = '2001-01-01T00:00:00.000000Z' WHERE job_id = ?", (expired,)
        )

    async def is_gone() -> bool:
        return (await service.get(f"/mlops/training/jobs/{expired}"))[0] == 404

    await eventually(is_gone, what="retention goes on")
    status, _ = await service.request("DELETE", f"/mlops/training/jobs/{attacker}")
    assert status == 204
    assert not (service.data_dir / "jobs" / attacker).exists()
    assert service.log.stat().st_size < LARGEST_LOG
