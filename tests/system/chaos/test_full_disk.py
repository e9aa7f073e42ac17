"""The disk of the data directory fills up and is freed while jobs run."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import UNCONFINED, WITHOUT_MLFLOW, Service, running_service, submission

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a tmpfs needs root"
    ),
]
WAITS = """
import pathlib, time
print("waiting", flush=True)
while not pathlib.Path({path!r}).exists():
    time.sleep(0.01)
print("x" * 100_000)
raise SystemExit(7)
"""
FLOOR_MB = 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A 24 MiB file system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True, timeout=10
    )
    yield disk
    subprocess.run(["umount", str(disk)], check=True, timeout=10)


def fill(disk: Path, *, leaving: int) -> Path:
    """Fill the disk except for this many bytes; return the file that does so."""
    found = os.statvfs(disk)
    hog = disk / "hog"
    with hog.open("wb") as file, contextlib.suppress(OSError):
        file.write(b"\0" * (found.f_bavail * found.f_frsize - leaving))
    return hog


async def refused(service: Service) -> None:
    status, document = await service.upload("print('x')")
    assert (status, document["title"]) == (507, "Insufficient disk space")
    status, document = await service.get("/health/ready")
    assert status == 503
    assert f"Less than {FLOOR_MB} MiB" in document["detail"]


async def test_jobs_end_and_work_resumes_after_a_full_disk(
    tmp_path: Path, small_disk: Path
) -> None:
    settings = WITHOUT_MLFLOW | UNCONFINED | {"ASGARD_SERVER__MIN_FREE_MB": str(FLOOR_MB)}
    go = tmp_path / "go"
    async with running_service(small_disk / "data", settings) as service:
        service.may_fail = True
        before = await service.finished(await service.submit("print('before')"))
        job_id = await service.submit(WAITS.format(path=str(go)))
        await service.says(job_id, "waiting")

        hog = fill(small_disk, leaving=FLOOR_MB << 19)  # below the minimum, but not full
        await refused(service)
        go.touch()
        job = await service.finished(job_id)
        assert (job["reason"], job["exit_code"]) == ("exit_code", 7)
        hog.unlink()

        go.unlink()
        job_id = await service.submit(WAITS.format(path=str(go)))
        await service.says(job_id, "waiting")
        hog = fill(small_disk, leaving=0)
        await refused(service)
        go.touch()
        await service.get("/health/live")
        assert (await service.get("/mlops/status"))[0] == 200
        hog.unlink()
        job = await service.finished(job_id)
        assert (job["reason"], job["exit_code"]) == ("exit_code", 7)

        after = await service.finished(await service.submit("print('after')"))
        assert (before["logs"], after["logs"]) == ("before\n", "after\n")
        await service.end()
        with contextlib.closing(sqlite3.connect(service.data_dir / "asgard.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_too_little_free_space_is_507_without_a_job(
    small_disk: Path,
) -> None:
    settings = WITHOUT_MLFLOW | UNCONFINED | {"ASGARD_SERVER__MIN_FREE_MB": "0"}
    async with running_service(small_disk / "data", settings) as service:
        service.may_fail = True
        hog = fill(small_disk, leaving=0)
        body = submission("#" * 600_000)
        status, document = await service.post("/mlops/training/upload", json=body)
        assert (status, document["title"]) == (507, "Insufficient disk space")
        hog.unlink()
        assert (await service.get("/mlops/training/jobs"))[1]["jobs"] == []
        await service.finished(await service.submit("print('x')"))
