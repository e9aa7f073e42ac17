"""Jobs cannot read secrets of the service, of builds and of MLflow in /proc.

The tests use the levels without a pid namespace, on which jobs see all processes of the machine.
"""

import secrets
import socket
from pathlib import Path

import pytest

from asgard_async.supervisor.shim import landlock
from tests.support.attack_scripts import PRELUDE
from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, WITHOUT_MLFLOW, running_service
from tests.support.service_users import IS_ROOT, launcher, launcher_for_ordinary_user

LOOK = """
canary = os.environ["CANARY_REVERSED"][::-1].encode()
print("service", os.path.exists(f"/proc/{os.environ['SERVICE_PID']}"))
def command_line(pid):
    try:
        return open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
    except OSError:  # it has ended
        return []
print("build", any(b"pip" in command_line(pid) for pid in os.listdir("/proc") if pid.isdigit()))
def look(path):
    try:
        text = open(path, "rb").read()
    except OSError:
        return
    if canary in text or b"ASGARD_MLFLOW_SERVER=" in text:
        print("BROKEN", path)
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline", "comm", "auxv", "stat"):
        look(f"/proc/{pid}/{name}")
    try:
        threads, descriptors = os.listdir(f"/proc/{pid}/task"), os.listdir(f"/proc/{pid}/fd")
    except OSError:
        continue
    for thread in threads:
        look(f"/proc/{pid}/task/{thread}/environ")
    for descriptor in descriptors:
        if os.path.isfile(f"/proc/{pid}/fd/{descriptor}"):
            look(f"/proc/{pid}/fd/{descriptor}")

look(f"{os.environ['DATA_DIR']}/mlflow-server/attempt.key")
for folder, _, files in os.walk(os.environ["DATA_DIR"]):
    for name in files:
        look(f"{folder}/{name}")
"""
SITES = [
    pytest.param("root", "sandbox-lite", WITHOUT_MLFLOW),
    pytest.param("root", "user", WITHOUT_MLFLOW),
    pytest.param("ordinary", "sandbox-lite", WITHOUT_MLFLOW),
    pytest.param("root", "user", QUICK_TO_WARM, marks=[pytest.mark.soak, pytest.mark.mlflow]),
    pytest.param(
        "ordinary", "sandbox-lite", QUICK_TO_WARM, marks=[pytest.mark.soak, pytest.mark.mlflow]
    ),
]


@pytest.mark.service
@pytest.mark.parametrize(("user", "level", "mlflow"), SITES)
async def test_no_process_shows_a_secret_to_a_job(
    tmp_path: Path, user: str, level: str, mlflow: dict[str, str]
) -> None:
    if user == "root" and not IS_ROOT:
        pytest.skip("a service that is root: the tests are not run by root")
    if level == "sandbox-lite" and not landlock.abi():
        pytest.skip("this kernel has no Landlock")
    canary = f"canary-{secrets.token_hex(16)}"
    data_dir = tmp_path / "service" / "data"
    if user == "root":
        data_dir.parent.mkdir()
        command = launcher(0, data_dir)
    else:
        command = launcher_for_ordinary_user(data_dir)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # uv waits for its answer
        port = silent.getsockname()[1]
        settings = {
            **mlflow,
            "ASGARD_ISOLATION__LEVEL": level,
            "ASGARD_ISOLATION__READ_WRITE": "[]",
            "ASGARD_ENVIRONMENTS__INDEX_URL": f"http://user:{canary}@127.0.0.1:{port}/simple",
            "AWS_SECRET_ACCESS_KEY": canary,
            "HTTPS_PROXY": f"http://user:{canary}@127.0.0.1:1",
            "ALL_PROXY": f"http://user:{canary}@127.0.0.1:1",
            "NO_PROXY": "127.0.0.1",
        }
        async with running_service(data_dir, settings, command) as service:
            if mlflow is QUICK_TO_WARM:
                await service.mlflow_uri()
            await service.warm()
            building = await service.submit("print()", requirements=["nothing"])
            await eventually(lambda: _is_running(data_dir, b"pip"), what="uv is running")
            job_id = await service.submit(
                PRELUDE + LOOK,
                environment_vars={
                    "SERVICE_PID": str(service.pid),
                    "DATA_DIR": str(data_dir),
                    "CANARY_REVERSED": canary[::-1],
                },
            )
            job = await service.finished(job_id)
            await service.post(f"/mlops/training/jobs/{building}/cancel")
    assert (job["reason"], job["isolation"]) == ("succeeded", level), job["logs"]
    assert "BROKEN" not in job["logs"], job["logs"]
    assert job["logs"].splitlines() == ["service True", "build True"]


def _is_running(data_dir: Path, argument: bytes) -> bool:
    for pid in processes_with(str(data_dir / "environments")):
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument in arguments:
            return True
    return False
