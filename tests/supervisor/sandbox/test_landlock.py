"""Attacks of jobs at level `sandbox-lite`, which has Landlock alone, whatever its version."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from asgard_async.supervisor.shim import landlock
from tests.support.attack_scripts import PRELUDE
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.service_users import IS_ROOT, launcher, launcher_for_ordinary_user

pytestmark = [
    pytest.mark.service,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock"),
]

ATTACK = """
data = os.environ["DATA_DIR"]
pid = os.environ["SERVICE_PID"]
with open("own", "w") as file:
    file.write("x")
for name in ("asgard.db", "service.lock", "cache/left"):
    path = f"{data}/{name}"
    attack(f"reading {name}", lambda: open(path).read(1))
    attack(f"writing {name}", lambda: open(path, "r+"))
    attack(f"emptying {name}", lambda: open(path, "w"))
    attack(f"truncating {name}", lambda: os.truncate(path, 0))
    attack(f"removing {name}", lambda: os.unlink(path))
    attack(f"replacing {name}", lambda: os.rename("own", path))
    attack(f"linking {name}", lambda: os.link(path, "linked"))
    os.symlink(path, "link")
    attack(f"truncating {name} by a link", lambda: os.truncate("link", 0))
    os.unlink("link")
attack("listing", lambda: os.listdir(data))
attack("new file", lambda: open(f"{data}/new", "w"))
attack("new directory", lambda: os.mkdir(f"{data}/new"))
for name in ("environ", "mem", "maps", "root", "cwd", "fd/1", "fd/2"):
    look = os.listdir if name in {"root", "cwd"} else lambda path: open(path).read(1)
    attack(f"the service's {name}", lambda: look(f"/proc/{pid}/{name}"))
attack("ptrace", lambda: call("ptrace", 16, int(pid), None, None))
"""
HELD = 8 * 3 + 3 + 7 + 1

OWN = """
import os
with open("own", "w+") as file:
    file.write("12345")
    file.flush()
    os.ftruncate(file.fileno(), 4)
open("own", "r+").truncate(3)
os.mkdir("folder")
os.rename("own", "folder/moved")
os.rename("folder/moved", os.environ["HOME"] + "/moved")
print(os.path.getsize(os.environ["HOME"] + "/moved"))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["root", "ordinary"])
async def lite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    if request.param == "root" and not IS_ROOT:
        pytest.skip("a service that is root: the tests are not run by root")
    data_dir = tmp_path_factory.mktemp("lite") / "service" / "data"
    data_dir.parent.mkdir()
    is_root = request.param == "root"
    start = launcher(0, data_dir) if is_root else launcher_for_ordinary_user(data_dir)
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_WARM__ENABLED": "false",
        "ASGARD_ISOLATION__LEVEL": "sandbox-lite",
        "ASGARD_ISOLATION__READ_WRITE": "[]",
    }
    async with running_service(data_dir, settings, start) as service:
        yield service


async def test_files_of_the_service_are_out_of_reach(lite: Service) -> None:
    left = lite.data_dir / "cache" / "left"
    left.write_text("by the service")
    left.chmod(0o666)  # only Landlock protects it
    owner = lite.data_dir.stat()
    if IS_ROOT:
        os.chown(left, owner.st_uid, owner.st_gid)
    variables = {"SERVICE_PID": str(lite.pid), "DATA_DIR": str(lite.data_dir)}
    job = await lite.finished(await lite.submit(PRELUDE + ATTACK, environment_vars=variables))
    assert (job["reason"], job["isolation"]) == ("succeeded", "sandbox-lite"), job["logs"]
    assert "BROKEN" not in job["logs"], job["logs"]
    assert job["logs"].count("held") == HELD
    assert left.read_text() == "by the service"


@pytest.mark.skipif(landlock.abi() == 1, reason="Landlock 1 allows no renaming across directories")
async def test_a_jobs_own_files_are_not_restricted(lite: Service) -> None:
    job = await lite.finished(await lite.submit(OWN))
    assert (job["reason"], job["logs"]) == ("succeeded", "3\n"), job
