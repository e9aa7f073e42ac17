"""Greedy jobs end with the right reason, and do not affect other jobs."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.supervisor.limits.conftest import groups_of
from tests.support.limit_scripts import FILLER, FORK_BOMB, HIDDEN_FILES, MEMORY_HOG, SHM_FILLER
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = [
    pytest.mark.service,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("control_groups"),
]

LIMITS = {
    "ASGARD_LIMITS__MEMORY_MB": "256",
    "ASGARD_LIMITS__PROCESSES": "64",
    "ASGARD_LIMITS__JOB_DIR_MB": "100",
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "3",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    data_dir = tmp_path_factory.mktemp("limited") / "data"
    async with running_service(data_dir, WITHOUT_MLFLOW | LIMITS) as service:
        status, document = await service.get("/health/ready")
        assert status == 200
        # the limits must be in place before the attacks start
        assert document["limits"]["processes"].startswith("cgroup")
        yield service


async def test_memory_limits_hold_over_respawning_children(limited: Service) -> None:
    job = await limited.finished(await limited.submit(MEMORY_HOG))
    assert (job["status"], job["reason"]) == ("failed", "out_of_memory")
    assert "limit of 256 MiB" in job["error"]
    assert "[limits] memory_mb" in job["error"]
    assert 200 << 20 < job["resources"]["peak_memory_bytes"] <= 256 << 20
    assert groups_of(job["job_id"]) == []


async def test_a_job_may_request_less(limited: Service) -> None:
    hog = await limited.submit(MEMORY_HOG, resources={"memory_mb": 128, "cpus": 0.5})
    job = await limited.finished(hog)
    assert job["limits"] == {"memory_mb": 128, "cpus": 0.5}
    assert job["reason"] == "out_of_memory"
    assert "limit of 128 MiB" in job["error"]


async def test_files_in_dev_shm_count_as_memory(limited: Service) -> None:
    job = await limited.finished(await limited.submit(SHM_FILLER))
    assert job["reason"] == "out_of_memory"


async def test_a_fork_bomb_gets_eagain(limited: Service) -> None:
    job = await limited.finished(await limited.submit(FORK_BOMB))
    assert (job["reason"], job["exit_code"]) == ("exit_code", 11)
    children, _, error = job["logs"].partition(" ")
    assert int(children) < 64
    assert "Errno 11" in error


@pytest.mark.parametrize(
    "place",
    [
        "'.'",
        "os.environ['TMPDIR']",
        "os.environ['HOME'] + '/a/b'",
        "os.environ['XDG_CACHE_HOME'] + '/a'",
    ],
)
async def test_a_job_filling_the_disk_is_stopped(limited: Service, place: str) -> None:
    script = f"import os\nPLACE = {place}\n{FILLER}"
    job = await limited.finished(await limited.submit(script))
    assert (job["status"], job["reason"], job["signal"]) == ("failed", "signal", "SIGKILL")
    assert "limit of 100 MiB" in job["error"]
    assert "[limits] job_dir_mb" in job["error"]


@pytest.mark.parametrize("how", HIDDEN_FILES)
async def test_a_job_filling_the_disk_unseen_is_stopped(limited: Service, how: str) -> None:
    script = f"import os, time\n{HIDDEN_FILES[how]}\ntime.sleep(60)"
    job = await limited.finished(await limited.submit(script))
    assert (job["reason"], job["signal"]) == ("signal", "SIGKILL"), job["logs"]
    assert "[limits] job_dir_mb" in job["error"]


async def test_cpu_time_is_shared(limited: Service) -> None:
    script = """
import os, time
begun = time.monotonic()
for _ in range(3):
    if os.fork() == 0: break
while time.monotonic() - begun < 2: pass
"""
    job = await limited.finished(await limited.submit(script, resources={"cpus": 0.25}))
    # of 2 s, including the start of the interpreter
    assert job["resources"]["cpu_seconds"] < 0.25 * job["duration_seconds"] + 0.3


async def test_other_jobs_keep_their_share(limited: Service) -> None:
    script = "x = bytearray(150 << 20)\nimport subprocess\nprint(subprocess.check_output('true'))"
    attackers = [await limited.submit(one) for one in (MEMORY_HOG, FORK_BOMB)]
    waits = []

    async def attackers_are_over() -> None:
        for job_id in attackers:
            await limited.finished(job_id)

    over = asyncio.create_task(attackers_are_over())
    neighbour = await limited.submit(script)
    while not over.done():
        begun = time.monotonic()
        status, _ = await limited.get("/health/live")
        waits.append(time.monotonic() - begun)
        assert status == 200
    await over
    job = await limited.finished(neighbour)
    assert (job["status"], job["logs"]) == ("completed", "b''\n")
    # a requirement on the service itself, far above its usual time
    assert sorted(waits)[int(len(waits) * 0.99)] < 5
