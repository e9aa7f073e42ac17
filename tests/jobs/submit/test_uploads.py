"""Uploads to a service in its own process: memory, a crash, and curl."""

import asyncio
import os
import shutil
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.archives import TRAIN, zip_of
from tests.support.eventually import eventually
from tests.support.service import Service
from tests.support.upload_forms import UPLOAD, form

pytestmark = pytest.mark.service

MIB = 1 << 20


def memory(service: Service, what: str) -> int:
    """Resident memory in bytes: VmRSS now, VmHWM the peak since `forget_peak`."""
    lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(what))


def forget_peak(service: Service) -> None:
    Path(f"/proc/{service.pid}/clear_refs").write_text("5")


def archives_of(service: Service) -> list[Path]:
    return [*(service.data_dir / "archives").iterdir()]


async def test_a_large_upload_costs_little_memory(service: Service, tmp_path: Path) -> None:
    archive = tmp_path / "large.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr("train.py", "import os; print(os.path.getsize('89'))")
        for number in range(90):
            file.writestr(str(number), os.urandom(MIB))
    data = form(entrypoint="train.py")
    # once before: the memory of any first upload does not count
    small = form(archive=("a.zip", zip_of({"train.py": TRAIN})), entrypoint="train.py")
    status, first = await service.post(UPLOAD, data=small)
    assert status == 202, first
    await service.finished(first["job_id"])
    forget_peak(service)
    before = memory(service, "VmRSS")
    with archive.open("rb") as content:
        data.add_field("archive", content, filename="large.zip")
        status, job = await service.post(UPLOAD, data=data)
    assert status == 202, job
    done = await service.finished(job["job_id"])
    assert done["logs"] == f"{MIB}\n"
    assert memory(service, "VmHWM") - before < 30 * MIB


async def test_an_upload_interrupted_by_a_crash_leaves_nothing(service: Service) -> None:
    released = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield bytes(3 * MIB)
        await released.wait()

    data = form(entrypoint="train.py")
    data.add_field("archive", slowly(), filename="a.zip")
    upload = asyncio.create_task(service.post(UPLOAD, data=data))
    await eventually(lambda: archives_of(service), what="the archive begins to arrive")
    await service.kill()
    released.set()
    with pytest.raises(aiohttp.ClientError):
        await upload
    assert archives_of(service)
    await service.start()
    assert not archives_of(service)
    assert (await service.get("/mlops/training/jobs"))[1]["jobs"] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_can_upload(service: Service, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "requirements.txt").write_text("# what it needs\nmarshmallow>=4\n")
    (tmp_path / "project.zip").write_bytes(zip_of({"src/train.py": TRAIN}))
    for arguments in (
        ("-F", "script=@train.py", "-F", "requirements=@requirements.txt"),
        ("-F", "archive=@project.zip", "-F", "entrypoint=src/train.py"),
    ):
        curl = await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"),
            *("-o", "answer.json"),
            *arguments,
            *("-F", "experiment_name=x", "-F", "model_name=y", service.url + UPLOAD),
            cwd=tmp_path,
        )
        assert await curl.wait() == 0, (tmp_path / "answer.json").read_text()
    _, listed = await service.get("/mlops/training/jobs")
    for job in listed["jobs"]:
        assert (await service.finished(job["job_id"]))["logs"] == "trained\n"
    assert len(listed["jobs"]) == 2
