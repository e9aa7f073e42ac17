"""A fresh install is reachable only from this machine, and its files only by their owner."""

import signal
from pathlib import Path

import pytest

from tests.support.asgard_command import asgard
from tests.support.processes import processes_with
from tests.support.service import QUICK_TO_WARM, WITHOUT_MLFLOW, running_service

pytestmark = pytest.mark.service

LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
LISTENS = "0A"


def listening_addresses(pid: int) -> set[str]:
    """The listening addresses of a process, as in /proc/net/tcp."""
    try:
        links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    except PermissionError:
        return set()  # a process that guards its secrets from its own user; as root it is looked at
    inodes = {str(link)[8:-1] for link in links if str(link).startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and fields[9] in inodes:
                found.add(fields[1].split(":")[0])
    return found


async def test_a_fresh_install_is_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_service(data, QUICK_TO_WARM) as service:  # with the embedded MLflow
        await service.finished(await service.submit("print()"))
        addresses = [listening_addresses(pid) for pid in processes_with(str(data))]
        assert set().union(*addresses) == LOOPBACK
        assert data.stat().st_mode & 0o077 == 0
        for path in data.rglob("*"):
            inside_a_job = "attempts" in path.parts or "cache" in path.parts
            for_jobs = path.suffix in {".passwd", ".group"}  # jobs see them in /etc
            if not inside_a_job and not for_jobs and not path.is_symlink() and not path.is_socket():
                assert path.stat().st_mode & 0o077 == 0, path
        assert not (data / "tokens.json").exists()  # nobody knows a secret for it


async def test_sigterm_leaves_a_running_job_alone(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        job_id = await service.submit("import time\ntime.sleep(2)\nprint('went on')")
        await service.phase(job_id, "running")
        assert await service.end(signal.SIGTERM) == 0
        await service.start()
        job = await service.finished(job_id)
        assert (job["status"], job["logs"]) == ("completed", "went on\n")


def test_the_public_address_error_suggests_a_valid_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    serve = ("serve", "--host", "192.0.2.1", "--port", "0", "--data-dir", data)
    done = asgard(*serve)
    assert done.returncode == 1
    command = done.stderr.split("create a token first: asgard ")[1].split()
    assert asgard(*command).returncode == 0
    # now only the address is wrong
    done = asgard(
        "serve", "--host", "192.0.2.1", "--port", "0", "--data-dir", data, **WITHOUT_MLFLOW
    )
    assert "token" not in done.stderr
    assert "192.0.2.1" in done.stderr
