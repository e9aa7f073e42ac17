"""`asgard db` while the service is running; a backup works elsewhere."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.support.archives import zip_of
from tests.support.preloaded_command import asgard
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = pytest.mark.service


async def submit_archive(service: Service) -> str:
    from aiohttp import FormData

    form = FormData({"experiment_name": "e", "model_name": "m", "entrypoint": "train.py"})
    archive = zip_of({"train.py": b"print('from the archive')\n"})
    form.add_field("archive", archive, filename="project.zip")
    status, job = await service.post("/mlops/training/upload", data=form)
    assert status == 202, job
    job_id: str = job["job_id"]
    return job_id


async def test_a_restored_backup_continues_where_it_was(tmp_path: Path) -> None:
    settings = WITHOUT_MLFLOW | {"ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1"}
    copy, restored = tmp_path / "copy", tmp_path / "restored"
    async with running_service(tmp_path / "data", settings) as service:
        first = await service.submit("print('one')")
        await service.finished(first)
        blocker = await service.submit("import time\ntime.sleep(600)")
        await service.phase(blocker, "running")
        waiting = [await service.submit("print('two')") for _ in range(3)]
        waiting.append(await submit_archive(service))
        secret = asgard("token", "create", "--data-dir", service.data_dir).stdout.strip()
        for _ in range(2):  # the second backup overwrites the first
            done = asgard("db", "backup", copy, "--data-dir", service.data_dir)
            assert done.returncode == 0, done.stderr
        assert str(copy / "asgard.db") in done.stdout
        assert "Not included: logs, models" in done.stderr
        assert copy.stat().st_mode & 0o777 == 0o700
    shutil.copytree(copy, restored)
    with sqlite3.connect(restored / "asgard.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    async with running_service(restored, settings) as service:
        service.session.headers["Authorization"] = f"Bearer {secret}"
        assert (await service.job(first))["status"] == "completed"
        # none of its processes run on this "machine", as after a power failure
        assert (await service.finished(blocker))["reason"] == "lost"
        for job_id in waiting:
            assert (await service.finished(job_id))["reason"] == "succeeded"
        assert (await service.job(waiting[-1]))["logs"] == "from the archive\n"


async def test_migrating_beside_a_running_service_is_refused(service: Service) -> None:
    done = asgard("db", "migrate", "--data-dir", service.data_dir)
    assert done.returncode == 1
    assert "Another Asgard service uses" in done.stderr
    await service.end()
    done = asgard("db", "migrate", "--data-dir", service.data_dir)
    assert (done.returncode, done.stdout) == (0, "The schema is up to date.\n")


def test_commands_without_a_database_say_so(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for command in (["backup", str(tmp_path / "copy")], ["migrate"]):
        done = asgard("db", *command, "--data-dir", tmp_path / "none")
        assert done.returncode == 1
        assert "There is no database in" in done.stderr
    assert not (tmp_path / "copy").exists()
