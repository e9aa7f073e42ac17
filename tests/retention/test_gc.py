"""`asgard gc` and the service's own retention, with real jobs."""

import json
import os
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import FormData

from asgard_async.cli.commands.gc import _collect
from asgard_async.client import AsyncAsgardClient, EndEvent, LogNotKept
from asgard_async.client.follow import poll_events
from asgard_async.config import load_config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.store import archives as archive_store
from tests.store.test_upgrade import content, old_database
from tests.support.archives import zip_of
from tests.support.eventually import eventually
from tests.support.preloaded_command import asgard
from tests.support.service import UNREACHABLE_MLFLOW, Service, running_service

pytestmark = pytest.mark.service
in_module_loop = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {**UNREACHABLE_MLFLOW, "ASGARD_WARM__ENABLED": "false"}

LEAVES_THINGS = """
import os, pathlib
pathlib.Path("result.bin").write_bytes(b"x" * 300_000)
os.makedirs("deep/er")
pathlib.Path("deep/er/file").touch()
os.symlink({outside!r}, "link")
os.symlink({outside!r}, "deep/er/link")
os.chmod("deep/er", 0o500)
os.chmod("deep", 0)
print("done")
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with running_service(tmp_path_factory.mktemp("service") / "data", SETTINGS) as started:
        yield started


def gc(service: Service, *arguments: str, **retention: float) -> list[dict[str, Any]]:
    environ = {f"ASGARD_RETENTION__{key.upper()}": str(value) for key, value in retention.items()}
    done = asgard("gc", "--json", "--data-dir", service.data_dir, *arguments, **environ)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def age(service: Service, job_id: str, days: float) -> None:
    """Backdate the end of a job."""
    moment = datetime.now(UTC) - timedelta(days=days)
    with sqlite3.connect(service.data_dir / "asgard.db") as database:
        database.execute(
            "UPDATE jobs SET ended_at = ? WHERE job_id = ?",
            (moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), job_id),
        )


async def submit_archive(service: Service) -> str:
    form = FormData({"experiment_name": "e", "model_name": "m", "entrypoint": "train.py"})
    form.add_field("archive", zip_of({"train.py": b"print('hello')\n"}), filename="project.zip")
    status, job = await service.post("/mlops/training/upload", data=form)
    assert status == 202, job
    job_id: str = job["job_id"]
    return job_id


@in_module_loop
async def test_each_kind_is_removed_and_the_rest_stays(tmp_path: Path, service: Service) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    old = await service.submit(LEAVES_THINGS.format(outside=str(outside)))
    await service.finished(old)
    archived = await submit_archive(service)
    await service.finished(archived)
    young = await service.submit("open('kept', 'w').write('x'); print('young')")
    await service.finished(young)
    running = await service.submit("import time; print('on', flush=True); time.sleep(600)")
    await service.says(running, "on")
    for job_id in (old, archived):
        age(service, job_id, 40)
    folder = service.data_dir / "jobs" / old
    work = folder / "attempts/1/work"

    planned = gc(service, "--dry-run")
    assert {(one["kind"], one["name"]) for one in planned} == {
        ("directory", old),
        ("directory", archived),
    }
    assert next(one for one in planned if one["name"] == old)["size_bytes"] >= 300_000
    assert (work / "result.bin").exists()

    assert gc(service) == planned
    assert not work.exists()
    assert gc(service) == []
    assert (outside / "precious").read_text() == "precious"
    job = await service.job(old)
    assert (job["reason"], job["logs"]) == ("succeeded", "done\n")

    assert [(one["kind"], one["name"]) for one in gc(service, archives_days=1)] == [
        ("archive", archived)
    ]
    path = f"/mlops/training/jobs/{archived}"
    for answer in (await service.get(f"{path}/script"), await service.post(f"{path}/retry")):
        assert answer[0] == 404
        assert "was deleted by [retention]" in answer[1]["detail"]

    gc(service, logs_days=1)
    job = await service.job(old)
    assert (job["logs"], job["log_kept"]) == ("", False)
    await says_that_the_log_is_gone(service, old)

    gone = gc(service, jobs_days=1)
    assert {(one["kind"], one["name"]) for one in gone} == {("job", old), ("job", archived)}
    assert (await service.get(f"/mlops/training/jobs/{old}"))[0] == 404
    assert not folder.exists()

    assert (await service.job(young))["logs"] == "young\n"
    assert (service.data_dir / "jobs" / young / "attempts/1/work/kept").exists()
    assert gc(service, max_files_mb=0, directories_days=0.000001, logs_days=0.000001) != []
    assert (await service.job(running))["logs"] == "on\n"
    assert (service.data_dir / "jobs" / running / "attempts/1/work").exists()


async def test_long_unused_caches_are_removed(tmp_path: Path) -> None:
    settings = SETTINGS | {"ASGARD_ISOLATION__LEVEL": "auto"}
    caches_something = (
        "import os; open(os.environ['XDG_CACHE_HOME'] + '/x', 'wb').write(b'x' * 10**6)"
    )
    async with running_service(tmp_path / "data", settings) as service:
        job = await service.finished(await service.submit(caches_something))
        if job["isolation"] == "process":
            pytest.skip("on this level caches are shared and never deleted")
        assert gc(service) == []
        (lock,) = (service.data_dir / "cache" / "jobs").glob("*/*/lock")
        os.utime(lock, (1, 1))
        ((kind, name, size),) = [
            (one["kind"], one["name"], one["size_bytes"]) for one in gc(service)
        ]
        assert (kind, name) == ("cache", f"base/{lock.parent.name}")
        assert size >= 10**6
        assert not lock.parent.exists()
        again = await service.finished(await service.submit(caches_something))
        assert again["reason"] == "succeeded"


async def test_the_service_collects_by_itself(tmp_path: Path) -> None:
    settings = SETTINGS | {
        "ASGARD_RETENTION__CHECK_HOURS": "0.00001",
        "ASGARD_RETENTION__JOBS_DAYS": "30",
    }
    async with running_service(tmp_path / "data", settings) as service:
        job_id = await service.submit("print()")
        await service.finished(job_id)
        kept = await service.submit("print()")
        await service.finished(kept)
        stray = service.data_dir / "jobs" / "00000000"
        stray.mkdir()
        age(service, job_id, 40)

        async def is_gone() -> bool:
            status, _ = await service.get(f"/mlops/training/jobs/{job_id}")
            return status == 404 and not stray.exists()

        await eventually(is_gone, what="the old job is gone")
        await service.job(kept)

        async def are_counted() -> bool:  # updated just after the deletion
            _, metrics = await service.get("/metrics")
            return all(
                f'asgard_retention_removed_total{{kind="{kind}"}} 1.0' in metrics
                for kind in ("job", "stray")
            )

        await eventually(are_counted, what="what has gone is counted")
        _, status = await service.get("/mlops/status")
        assert status["jobs"]["completed"] == 1


@in_module_loop
async def test_a_crash_during_collection_leaves_no_orphans(service: Service) -> None:
    job_id = await service.submit("print()")
    await service.finished(job_id)
    await service.kill()
    # as after a crash between deleting the record and the files
    with sqlite3.connect(service.data_dir / "asgard.db") as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
    folder = service.data_dir / "jobs" / job_id
    assert [one["kind"] for one in gc(service, "--dry-run")] == ["stray"]
    await service.start()
    await eventually(lambda: not folder.exists(), what="the stray directory is gone")


@in_module_loop
async def test_orphaned_archives_are_deleted_beside_a_service(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`asgard gc` was killed between deleting a job's record and its archive."""
    job_id = await submit_archive(service)
    await service.finished(job_id)
    archives = service.data_dir / "archives"
    (mine,) = archives.iterdir()
    stray = archives / f"{'0' * 32}.zip"
    stray.write_bytes(b"stray")
    # it may be an upload in progress
    assert gc(service) == []
    monkeypatch.setattr(archive_store, "SETTLED_SECONDS", -60)
    config = load_config(environ={"ASGARD_DATA_DIR": str(service.data_dir)})
    found = await _collect(config, DataDirectory(root=service.data_dir), dry_run=False)
    assert [(one.kind, one.name) for one in found] == [("stray", stray.name)]
    assert list(archives.iterdir()) == [mine]


def test_a_database_of_an_older_schema_is_unchanged(tmp_path: Path) -> None:
    """A service of an older version may be using the database."""
    data = DataDirectory(root=tmp_path / "data").make()
    old_database(data.database)
    before = content(data.database)
    for options in ((), ("--dry-run",)):
        done = asgard("gc", "--data-dir", data.root, *options)
        assert done.returncode == 1
        assert "the database has schema 1, this version of Asgard needs" in done.stderr
        assert "asgard db migrate" in done.stderr
        assert content(data.database) == before
    assert asgard("db", "migrate", "--data-dir", data.root).returncode == 0
    assert asgard("gc", "--data-dir", data.root, "--dry-run").returncode == 0


def test_gc_prints_readable_text(tmp_path: Path) -> None:
    done = asgard("gc", "--data-dir", tmp_path)
    assert done.returncode == 1
    assert "There is no database" in done.stderr
    assert list(tmp_path.iterdir()) == []


async def says_that_the_log_is_gone(service: Service, job_id: str) -> None:
    """The API, the client and the commands do not show an empty log."""
    path = f"/mlops/training/jobs/{job_id}/logs"
    for query in ("", "?tail=5", "?offset=0&limit=9", "?follow=true"):
        status, document = await service.get(path + query)
        assert (status, document["type"]) == (404, "urn:asgard:problem:log-not-kept")
        assert "is no longer stored" in document["detail"]
    async with AsyncAsgardClient(service.url) as client:
        assert not (await client.get(job_id)).log_kept
        with pytest.raises(LogNotKept):
            async for _ in client.logs(job_id):
                pass
        for events in (
            client.log_events(job_id, follow=True),
            client.log_events(job_id, follow=True, tail=3),
            poll_events(client._transport, job_id, 0),
        ):
            *_, end = [event async for event in events]
            assert isinstance(end, EndEvent)
            assert (end.log_kept, end.reason) == (False, "succeeded")
    for arguments, code in ((), 1), (("-f",), 0), (("-f", "-n", "1"), 0):
        done = asgard("logs", *arguments, job_id, ASGARD_URL=service.url)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.count("no longer stored") == 1
    shown = asgard("show", job_id, ASGARD_URL=service.url)
    assert "no longer stored" in shown.stdout
