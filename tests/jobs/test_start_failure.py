"""Jobs that cannot be started: the reason is reported, and transient failures are retried."""

import errno
import os
import re
import resource
from pathlib import Path

import pytest

from asgard_async.executors.base import CannotStart
from asgard_async.jobs.start_failure import describe, is_transient
from tests.support.archives import zip_of
from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.upload_forms import UPLOAD, form

MIB = 1 << 20
ONE_SLOT = {**WITHOUT_MLFLOW, "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1"}
WAITS = """
import os, time
while not os.path.exists({go!r}):
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CannotStart("its archive is missing. Submit it again"), "its archive is missing"),
        (OSError(errno.ENOSPC, "x", "/srv/secret"), "the service's disk has no space"),
        (OSError(errno.EACCES, "x", "/srv/secret"), "Permission denied"),
        (OSError("/srv/secret"), "internal error"),
        (BlockingIOError(errno.EAGAIN, "x", "/srv/secret"), "the machine ran out of processes"),
        (MemoryError("/srv/secret"), "Cannot allocate memory"),
        (KeyError("/srv/secret"), "internal error"),
    ],
)
def test_causes_are_described_without_paths(error: Exception, expected: str) -> None:
    assert expected in describe(error)
    assert "/srv" not in describe(error)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_resource_exhaustion_is_transient(number: int) -> None:
    assert is_transient(OSError(number, os.strerror(number)))
    assert not is_transient(OSError(errno.ENOSPC, "x"))


def files_open_but_for(spare: int, service: Service, *, watching: str) -> int:
    """Return the limit that leaves `spare` descriptors once that job is no longer watched."""
    shims = processes_with(str(service.data_dir / "jobs" / watching))
    used = set()
    for path in Path(f"/proc/{service.pid}/fdinfo").iterdir():
        watched = re.search(r"^Pid:\t(\d+)$", path.read_text(), re.MULTILINE)
        if watched is None or int(watched[1]) not in shims:
            used.add(int(path.name))
    limit = 0
    while spare:
        spare -= limit not in used
        limit += 1
    return limit


@pytest.mark.service
async def test_a_job_starts_later_on_an_exhausted_machine(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", ONE_SLOT) as service:
        service.may_fail = True
        go = tmp_path / "go"
        blocker = await service.submit(WAITS.format(go=str(go)))
        await service.phase(blocker, "running")
        job_id = await service.submit("print('at last')")
        limit = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
        # two are enough to read the outcome of the first job, but not to start another
        lowest = files_open_but_for(2, service, watching=blocker)
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (lowest, limit[1]))
        go.touch()
        await eventually(
            lambda: f"{job_id} could not be started" in service.log.read_text(),
            what="the start was refused",
        )
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, limit)
        job = await service.finished(job_id)
        assert (job["status"], job["logs"]) == ("completed", "at last\n")
        details = [entry["detail"] for entry in job["history"] if entry["phase"] == "queued"]
        assert "attempt 1 could not be started" in details[-1]
        assert "Too many open files" in details[-1]


@pytest.mark.service
async def test_a_full_disk_is_named_as_the_cause(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", ONE_SLOT) as service:
        service.may_fail = True
        go = tmp_path / "go"
        blocker = await service.submit(WAITS.format(go=str(go)))
        await service.phase(blocker, "running")
        large = zip_of({"train.py": "print()", "data": bytes(3 * MIB)})
        data = form(archive=("large.zip", large), entrypoint="train.py")
        status, accepted = await service.post(UPLOAD, data=data)
        assert status == 202, accepted
        job_id = accepted["job_id"]
        # no file can grow as large as the one in the archive: to the service the disk is full
        limit = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (2 * MIB, limit[1]))
        go.touch()
        job = await service.finished(job_id)
        assert job["reason"] == "start_failed"
        assert "the service's disk has no space for its files" in job["error"]
        assert str(tmp_path) not in job["error"]
