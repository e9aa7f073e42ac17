"""All processes of a job end with it, however they hide and whichever process is killed."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from asgard_async.config import load_config
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.shim import cgroup
from tests.supervisor.limits.conftest import groups_of
from tests.support.eventually import eventually
from tests.support.limit_scripts import HIDING
from tests.support.processes import state_of
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.service_users import IS_ROOT, launcher

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("control_groups")]

in_module_loop = pytest.mark.asyncio(loop_scope="module")

PROCESSES = 5
GRACE_SECONDS = 0.5
GONE_SECONDS = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(Isolation))
async def attacked(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Service]:
    settings = WITHOUT_MLFLOW | {
        "ASGARD_ISOLATION__LEVEL": request.param,
        "ASGARD_JOBS__STOP_GRACE_SECONDS": str(GRACE_SECONDS),
    }
    data_dir = tmp_path_factory.mktemp("service") / "data"
    start = launcher(0, data_dir) if IS_ROOT else ()
    async with running_service(data_dir, settings, start) as service:
        status, document = await service.get("/health/ready")
        if status == 503:
            pytest.skip(f"isolation level {request.param} does not work here: {document['detail']}")
        yield service


def attempt_of(service: Service, job_id: str) -> Path:
    return service.data_dir / "jobs" / job_id / "attempts" / "1"


async def hiding(service: Service, **fields: Any) -> tuple[str, list[int]]:
    """Start a job with all its processes; return its id and their pids."""
    job_id = await service.submit(f"import idna\n{HIDING}", **fields)
    await service.says(job_id, "up\n" * PROCESSES)
    directories = cgroup.recorded(str(attempt_of(service, job_id)))
    pids: list[int] = []

    def all_there() -> bool:  # and the intermediate ones have exited
        pids[:] = cgroup.processes_in(directories[0])
        return len(pids) == PROCESSES

    await eventually(all_there, what="five processes are in the job's group")
    return job_id, pids


async def are_gone(pids: list[int], within: float) -> None:
    await eventually(
        lambda: all(state_of(pid) in {None, "Z"} for pid in pids),
        within=within,
        what="all processes of the job are gone",
    )


@pytest.mark.parametrize("warm", [True, False])
@in_module_loop
async def test_cancelling_kills_the_whole_tree(attacked: Service, warm: bool) -> None:
    await attacked.warm()
    job_id, pids = await hiding(attacked, warm=warm)
    assert (await attacked.job(job_id))["start"] == ("warm" if warm else "cold")
    await attacked.post(f"/mlops/training/jobs/{job_id}/cancel")
    await are_gone(pids, within=GRACE_SECONDS + GONE_SECONDS)
    assert (await attacked.finished(job_id))["status"] == "cancelled"
    assert groups_of(job_id) == []


@in_module_loop
async def test_a_timeout_kills_the_whole_tree(attacked: Service) -> None:
    job_id, pids = await hiding(attacked, timeout=3)
    job = await attacked.finished(job_id)
    assert job["reason"] == "timeout"
    await are_gone(pids, within=0.1)
    assert groups_of(job_id) == []


def supervisors_of(service: Service, job_id: str) -> dict[str, int]:
    attempt = attempt_of(service, job_id)
    facts = msgspec.json.decode((attempt / "pid.json").read_bytes())
    return {"keeper": int((attempt / "lock").read_text().split()[0]), "shim": facts["shim_pid"]}


@pytest.mark.parametrize("victims", [["keeper"], ["shim"], ["keeper", "shim"]], ids="+".join)
@in_module_loop
async def test_killing_keeper_and_shim_kills_the_tree(
    attacked: Service, victims: list[str]
) -> None:
    job_id, pids = await hiding(attacked)
    supervisors = supervisors_of(attacked, job_id)
    for victim in victims:  # stopped first, so that neither notices the other's death
        os.kill(supervisors[victim], signal.SIGSTOP)
    for victim in victims:
        os.kill(supervisors[victim], signal.SIGKILL)
    await are_gone(pids, within=GONE_SECONDS)
    job = await attacked.finished(job_id)
    assert (job["status"], job["reason"]) == ("failed", "lost")
    assert groups_of(job_id) == []


@in_module_loop
async def test_a_tree_orphaned_without_the_service_is_killed(attacked: Service) -> None:
    job_id, pids = await hiding(attacked)
    await attacked.kill()
    for victim in supervisors_of(attacked, job_id).values():
        os.kill(victim, signal.SIGSTOP)
    for victim in supervisors_of(attacked, job_id).values():
        os.kill(victim, signal.SIGKILL)
    await attacked.start()
    await are_gone(pids, within=GONE_SECONDS)
    assert (await attacked.finished(job_id))["reason"] == "lost"
    assert groups_of(job_id) == []


def test_unclaimed_groups_are_swept(tmp_path: Path) -> None:
    """A job's directory was deleted by hand, and its keeper and shim were killed."""
    limits = load_config(environ={}).limits
    enforcer = LimitEnforcer(limits, jobs_dir=tmp_path, builds_dir=tmp_path)
    enforcer.open()
    (left,) = {place.directory for place in enforcer.parents if "memory" in place.controllers}
    group = left / "0badcafe.1"
    group.mkdir()
    child = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
    (group / "cgroup.procs").write_text(str(child))
    LimitEnforcer(limits, jobs_dir=tmp_path, builds_dir=tmp_path).open()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not group.exists()
    enforcer.close()
    assert not left.exists()


def test_the_group_of_a_starting_job_is_not_swept(tmp_path: Path) -> None:
    """A stopping service keeps the parent, in which the shim has yet to create the group."""
    enforcer = LimitEnforcer(load_config(environ={}).limits, jobs_dir=tmp_path, builds_dir=tmp_path)
    enforcer.open()
    places = [place.directory for place in enforcer.parents]
    attempts = [tmp_path / f"0badcaf{number}" / "attempts" / "1" for number in range(4)]
    try:
        for attempt in attempts:
            attempt.mkdir(parents=True)
            enforcer.limits(ResourceLimits(), attempt, own=[], caches=[])
        (attempts[0] / "exit.json").touch()
        enforcer.close()
        assert all(place.is_dir() for place in places)
        for directory in enforcer.limits(ResourceLimits(), attempts[1], own=[], caches=[])[
            "cgroup"
        ]["directories"]:
            Path(directory).mkdir()
            Path(directory).rmdir()
        (attempts[1] / "exit.json").touch()
        shutil.rmtree(attempts[2])  # it never started, and its job was removed
        (attempts[3] / "pid.json").touch()  # it started, and was lost: it has no end
    finally:
        enforcer.close()
    assert not any(place.exists() for place in places)
