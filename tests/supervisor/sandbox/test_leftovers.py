"""Jobs without namespaces of their own find nothing that earlier jobs of their user left."""

from pathlib import Path

import pytest

from asgard_async.supervisor.shim import landlock
from tests.support.attack_scripts import PRELUDE
from tests.support.service import WITHOUT_MLFLOW, running_service
from tests.support.service_users import IS_ROOT, launcher

KEY = 0x5EC2E7
LEAVE = f"""
print("user", os.getuid())
open("/dev/shm/left-{KEY}", "w").write("secret")
os.mkdir("/dev/shm/dir-{KEY}")
os.chdir("/dev/shm/dir-{KEY}")
for number in range(1500):  # more than Python's recursion goes down
    os.mkdir("deeper")
    os.chdir("deeper")
    if number % 500 == 0:
        os.symlink("/", "link")
        os.chmod("..", 0o100)
open("file", "w").close()
os.chdir("/")
call("shmget", {KEY}, 4096, 0o1600)
call("semget", {KEY}, 1, 0o1600)
call("msgget", {KEY}, 0o1600)
"""
LOOK = f"""
print("user", os.getuid())
attack("file", lambda: open("/dev/shm/left-{KEY}").read())
attack("directory", lambda: os.stat("/dev/shm/dir-{KEY}"))
attack("memory", lambda: call("shmget", {KEY}, 0, 0))
attack("semaphore", lambda: call("semget", {KEY}, 0, 0))
attack("queue", lambda: call("msgget", {KEY}, 0))
"""


@pytest.mark.service
@pytest.mark.skipif(not IS_ROOT, reason="the tests are not run by root")
@pytest.mark.parametrize("level", ["user", "sandbox-lite"])
async def test_memory_of_earlier_jobs_is_gone(tmp_path: Path, level: str) -> None:
    if level == "sandbox-lite" and not landlock.abi():
        pytest.skip("this kernel has no Landlock")
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_WARM__ENABLED": "false",
        "ASGARD_ISOLATION__LEVEL": level,
        "ASGARD_ISOLATION__READ_WRITE": "[]",
    }
    data_dir = tmp_path / "service" / "data"
    data_dir.parent.mkdir()
    async with running_service(data_dir, settings, launcher(0, data_dir)) as service:
        left = await service.finished(await service.submit(PRELUDE + LEAVE))
        assert left["reason"] == "succeeded", left["logs"]
        found = await service.finished(await service.submit(PRELUDE + LOOK))
    assert (found["reason"], found["isolation"]) == ("succeeded", level), found["logs"]
    assert found["logs"].splitlines()[0] == left["logs"].splitlines()[0]
    assert found["logs"].count("held") == 5, found["logs"]
