"""`asgard db backup` under load: each copy is a consistent snapshot."""

import asyncio
import contextlib
import shutil
import sqlite3
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.test_db import submit_archive
from tests.support.asgard_command import asgard
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

BACKUPS = 3
JOBS = "/mlops/training/jobs"

pytestmark = pytest.mark.service


class Load:
    """Submit scripts and archives continuously, and delete every third job."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.accepted: set[str] = set()
        self.deleted: set[str] = set()
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            job_id = await self._service.submit(f"print({len(self.accepted)})")
            self.accepted |= {job_id, await submit_archive(self._service)}
            if len(self.accepted) % 3 == 0:
                await self._service.finished(job_id)
                self.deleted.add(job_id)  # from now on it may be deleted
                status, _ = await self._service.request("DELETE", f"{JOBS}/{job_id}")
                assert status == 204


@contextlib.asynccontextmanager
async def under_load(service: Service) -> AsyncIterator[Load]:
    load = Load(service)
    task = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.is_over = True
        await task


async def test_every_backup_under_load_restores_accepted_jobs(tmp_path: Path) -> None:
    copies: dict[Path, tuple[set[str], set[str]]] = {}
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        async with under_load(service) as load:
            for number in range(BACKUPS):
                copy = tmp_path / f"copy-{number}"
                before = set(load.accepted)
                done = await asyncio.to_thread(
                    asgard, "db", "backup", copy, "--data-dir", service.data_dir
                )
                assert done.returncode == 0, done.stderr
                copies[copy] = before, set(load.deleted)
            assert len(load.accepted) > len(copies[tmp_path / "copy-0"][0])
    for copy, (accepted, deleted) in copies.items():
        check(copy, accepted - deleted)
    await last_one_goes_on(tmp_path / "restored", *copies.popitem())


def check(copy: Path, accepted: set[str]) -> None:
    """Check that the copy is intact and complete, and that its counts are correct."""
    with contextlib.closing(sqlite3.connect(copy / "asgard.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        jobs = dict(database.execute("SELECT job_id, archive FROM jobs"))
        counted = "SELECT status, count(*) FROM jobs GROUP BY status ORDER BY status"
        known = "SELECT status, jobs FROM job_counts WHERE jobs > 0 ORDER BY status"
        assert database.execute(counted).fetchall() == database.execute(known).fetchall()
    assert accepted <= jobs.keys()
    for name in filter(None, jobs.values()):
        with zipfile.ZipFile(copy / "archives" / name) as archive:
            assert archive.testzip() is None


async def last_one_goes_on(restored: Path, copy: Path, accepted: tuple[set[str], set[str]]) -> None:
    shutil.copytree(copy, restored)
    async with running_service(restored, WITHOUT_MLFLOW) as service:
        for job_id in accepted[0] - accepted[1]:
            # the jobs that were running at that moment ran on another machine
            assert (await service.finished(job_id))["reason"] in {"succeeded", "lost"}
