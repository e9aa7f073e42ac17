"""`asgard service install` under a real systemd: jobs outlive a restart of the service."""

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.supervisor.limits.hierarchies import LEAF
from tests.support.asgard_command import asgard
from tests.support.processes import processes_with
from tests.support.service import WITHOUT_MLFLOW, Service
from tests.support.systemd import Systemd, running_systemd, why_not_here

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.skipif(why_not_here() is not None, reason=str(why_not_here())),
]
CHECKOUT = Path(__file__).parents[2]
WAITS_FOR_A_FILE = """
import pathlib, time
print("waiting", flush=True)
while not pathlib.Path({path!r}).exists():
    time.sleep(0.01)
print("seen", flush=True)
"""


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Systemd]:
    home = tmp_path / "home"
    home.mkdir()
    with tempfile.TemporaryDirectory(prefix="asgard-sd-") as short:
        async with running_systemd(home, Path(short) / "run") as started:
            yield started


def delegate_a_controller(hierarchy: Path, unit: Path) -> None:
    """Delegate a controller down to the subgroups of a unit, if the hierarchy has any.

    Where version 2 has the controllers that limit jobs, the service does this itself. Here it may
    have only other controllers, which the kernel treats alike.
    """
    controllers = (hierarchy / "cgroup.controllers").read_text().split()
    if not controllers or (unit / "cgroup.subtree_control").read_text().split():
        return
    leaf = unit / LEAF
    leaf.mkdir()
    for pid in (unit / "cgroup.procs").read_text().split():
        (leaf / "cgroup.procs").write_text(pid)
    above = [group for group in unit.parents if hierarchy in (group, *group.parents)]
    for group in (*reversed(above), unit):
        (group / "cgroup.subtree_control").write_text(f"+{controllers[-1]}")


async def test_jobs_outlive_a_restart_under_systemd(tmp_path: Path, systemd: Systemd) -> None:
    # a client of the service that systemd starts; it starts nothing itself
    client = Service(tmp_path / "data")
    settings = client.settings | WITHOUT_MLFLOW | {"ASGARD_SERVER__PORT": str(client.port)}
    settings["PYTHONPATH"] = str(CHECKOUT)
    installed = asgard(
        *("service", "install", "--folder", systemd.units, "--data-dir", client.data_dir),
        ASGARD_SERVER__PORT=str(client.port),
    )
    assert installed.returncode == 0, installed.stderr
    own = systemd.units / "asgard.service.d/test.conf"
    own.parent.mkdir()
    lines = (f"Environment={json.dumps(f'{k}={v}')}\n" for k, v in settings.items())
    own.write_text("[Service]\n" + "".join(lines))
    try:
        systemd.systemctl("daemon-reload")
        systemd.systemctl("start", "asgard")
        await client.answers()
        first = systemd.systemctl("show", "--property=MainPID", "asgard")
        done = tmp_path / "done"
        job_id = await client.submit(WAITS_FOR_A_FILE.format(path=str(done)))
        await client.says(job_id, "waiting")

        unit = systemd.group / "app.slice" / "asgard.service"
        delegate_a_controller(systemd.group.parent, unit)
        systemd.systemctl("restart", "asgard")
        await client.answers()
        assert systemd.systemctl("show", "--property=MainPID", "asgard") != first
        assert (await client.job(job_id))["phase"] == "running"
        done.touch()
        job = await client.finished(job_id)
        assert (job["reason"], job["logs"]) == ("succeeded", "waiting\nseen\n")
        assert len([move for move in job["history"] if move["phase"] == "running"]) == 1

        systemd.systemctl("stop", "asgard.socket", "asgard")
        assert systemd.systemctl("is-active", "asgard") == "inactive"
        assert processes_with(str(client.data_dir)) == []
    finally:
        await client.close()
