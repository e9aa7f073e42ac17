"""Builds and the embedded MLflow at the levels below the sandbox."""

import asyncio
import functools
from pathlib import Path

import pytest

from asgard_async.supervisor.shim import landlock
from tests.support.eventually import eventually
from tests.support.package_index import package_index
from tests.support.processes import processes_with
from tests.support.service import Service, running_service
from tests.support.service_users import IS_ROOT, launcher, launcher_for_ordinary_user
from tests.support.wheels import make_sdist, make_wheel

pytestmark = pytest.mark.mlflow

BUILD = """
def tried(path):
    try:
        return os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
    except OSError as error:
        return type(error).__name__
def make():
    looked_at = [tried(f"{data}/{name}") for name in ("asgard.db", "jobs", "mlflow", "cache/uv")]
    return {"apart.py": f"FOUND = {[os.getuid(), *looked_at]!r}\\n"}
"""
BY_ROOT = pytest.mark.skipif(not IS_ROOT, reason="the tests are not run by root")
BY_LANDLOCK = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
LEVELS = [
    pytest.param("user", "root", marks=BY_ROOT),
    pytest.param("sandbox-lite", "root", marks=[BY_ROOT, BY_LANDLOCK]),
    pytest.param("sandbox-lite", "ordinary", marks=BY_LANDLOCK),
]


def mlflow_uid(service: Service) -> int:
    (pid,) = [
        pid
        for pid in processes_with(str(service.data_dir / "mlflow"))
        if b"server_program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return Path(f"/proc/{pid}").stat().st_uid


@pytest.mark.parametrize(("level", "who"), LEVELS)
async def test_builds_and_mlflow_use_the_available_sandbox(
    tmp_path: Path, level: str, who: str
) -> None:
    data_dir = tmp_path / "service" / "data"
    data_dir.parent.mkdir()
    start = launcher_for_ordinary_user(data_dir) if who == "ordinary" else launcher(0, data_dir)
    with package_index(tmp_path / "packages") as index:
        make_sdist(tmp_path / "packages", "apart", f"data = {str(data_dir)!r}\n" + BUILD)
        make_wheel(tmp_path / "packages", "plain", "FOUND = 'plain'")
        settings = {
            "ASGARD_WARM__ENABLED": "false",
            "ASGARD_ISOLATION__LEVEL": level,
            "ASGARD_ISOLATION__READ_WRITE": "[]",
            "ASGARD_ENVIRONMENTS__INDEX_URL": index,
        }
        async with running_service(data_dir, settings, start) as service:

            async def found_by(name: str) -> str:
                script = f"import {name}\nprint({name}.FOUND)"
                job = await service.finished(await service.submit(script, requirements=[name]))
                assert job["reason"] == "succeeded", job["error"]
                assert job["isolation"] == level
                last: str = job["logs"].splitlines()[-1]
                return last

            apart, plain, _ = await asyncio.gather(
                found_by("apart"), found_by("plain"), service.mlflow_uri()
            )
            user = mlflow_uid(service)
    assert plain == "plain"
    uid = int(apart.strip("[]").split(",")[0])
    assert apart.count("PermissionError") == 4, apart
    assert 0 not in {uid, user}
    if who == "root":
        assert uid != user


@BY_ROOT
async def test_a_non_empty_artifact_directory_keeps_its_owner(
    tmp_path: Path,
) -> None:
    for name in ("empty", "used"):
        (tmp_path / name).mkdir()
    (tmp_path / "used" / "of-others").touch()
    for name, is_given in (("empty", True), ("used", False)):
        settings = {"ASGARD_MLFLOW__ARTIFACTS_DESTINATION": str(tmp_path / name)}
        async with running_service(tmp_path / f"{name}-service" / "data", settings) as service:
            program = functools.partial(processes_with, str(service.data_dir / "mlflow"))
            await eventually(program, what="MLflow is starting")
            assert ("must belong to user" in service.log.read_text()) is not is_given
        assert ((tmp_path / name).stat().st_uid != 0) is is_given
    assert (tmp_path / "used" / "of-others").stat().st_uid == 0
