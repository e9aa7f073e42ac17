"""Upgrades of a database of the first schema, as a service of that time left it."""

import contextlib
import re
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from asgard_async.core.timestamps import now, rfc3339
from asgard_async.store.database import bring_up_to_date
from asgard_async.store.migrate import packaged_migrations
from tests.support.service import WITHOUT_MLFLOW, Service, running_service, submission

DUMP = Path(__file__).parent / "schema_1.sql"
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

JOBS = "/mlops/training/jobs"
ENDED = {
    "77ebac11": ("completed", "succeeded"),
    "e91f1f87": ("failed", "exit_code"),
    "05224cfc": ("failed", "exit_code"),
    "7b3f410b": ("failed", "signal"),
    "05199711": ("failed", "timeout"),
    "7409a365": ("failed", "exit_code"),
    "d4401009": ("completed", "succeeded"),
    "7cc52a86": ("cancelled", "cancelled"),
}
RUNNING = "3cb2da7b"
QUEUED = {"588d814d": "low\n", "529ca7af": "queued\n", "7be7ee7c": "completed\n"}
DELETED = "4c6a6726"


def old_database(file: Path, *, left_at: datetime | None = None) -> None:
    """Create the database of the dump; with `left_at`, as if its service had stopped then.

    Idempotency keys expire a day after they were made, so a service of today must find younger
    ones.
    """
    dump = DUMP.read_text()
    if left_at is not None:
        age = left_at - datetime.fromisoformat(max(TIMES.findall(dump)))
        dump = TIMES.sub(lambda text: rfc3339(datetime.fromisoformat(text[0]) + age), dump)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(dump)


def content(file: Path) -> dict[str, list[Any]]:
    """Everything in a database: its schema, its version and the rows of every table."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        schema = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            "": [*connection.execute("PRAGMA user_version"), *schema],
            **{
                name: sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr)  # noqa: S608
                for name in tables
            },
        }


@pytest.mark.service
async def test_the_current_service_opens_an_old_database(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    old_database(data / "asgard.db", left_at=now())
    async with running_service(data, WITHOUT_MLFLOW) as service:
        for job_id, end in ENDED.items():
            job = await service.job(job_id, logs="none")
            assert (job["status"], job["reason"]) == end
            assert (job["entrypoint"], job["start"]) == (
                None,
                "cold" if job["started_at"] else None,
            )
            assert job["history"][-1]["phase"] == "finished"
        # its processes and files are not on this machine
        assert (await service.finished(RUNNING))["reason"] == "lost"
        for job_id, log in QUEUED.items():
            job = await service.finished(job_id)
            assert (job["reason"], job["logs"]) == ("succeeded", log)
        assert (await service.job("7be7ee7c"))["retry_of"] == "77ebac11"
        await keys_and_tags_still_count(service)
        await old_jobs_are_run_again_and_deleted(service)
        _, status = await service.get("/mlops/status")
        assert status["jobs"] == {
            "queued": 0, "running": 0, "completed": 5, "failed": 6, "cancelled": 1,
        }  # fmt: skip


async def keys_and_tags_still_count(service: Service) -> None:
    again = {"tags": {"team": "b"}, "idempotency_key": "queued"}
    status, job = await service.upload("print('queued')", **again)
    assert (status, job["job_id"]) == (200, "529ca7af")
    assert (await service.upload("print('other')", **again))[0] == 409
    deleted = submission("print('gone')", idempotency_key="deleted")
    assert (await service.post("/mlops/training/upload", json=deleted))[0] == 409
    assert (await service.get(f"{JOBS}/{DELETED}"))[0] == 404
    _, tagged = await service.get(JOBS, params={"tag": "note:ü"})
    assert {job["job_id"] for job in tagged["jobs"]} == {"77ebac11", "7be7ee7c"}


async def old_jobs_are_run_again_and_deleted(service: Service) -> None:
    status, twin = await service.post(f"{JOBS}/e91f1f87/retry")
    assert status == 202, twin
    assert (await service.finished(twin["job_id"]))["exit_code"] == 3
    status, script = await service.get(f"{JOBS}/e91f1f87/script")
    assert (status, script) == (200, "import sys\nsys.exit(3)")
    assert (await service.request("DELETE", f"{JOBS}/e91f1f87"))[0] == 204
    assert (await service.get(f"{JOBS}/e91f1f87"))[0] == 404


def killed_migrations(old: Path, directory: Path) -> list[Path]:
    """Copies of a database whose migration was killed before the first statement, the second, …"""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.migrating_program", str(old), str(directory)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Path(file) for file in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_migration_killed_at_any_statement_restarts(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    old_database(whole)
    before = content(whole)
    killed = killed_migrations(whole, tmp_path)
    statements = len(killed)
    bring_up_to_date(whole)
    after = content(whole)
    # at least those that are in the files
    assert statements > sum(migration.sql.count(";\n") for migration in packaged_migrations()[1:])
    versions = set()
    for number, file in enumerate(killed, 1):
        with contextlib.closing(sqlite3.connect(file)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        versions.add(version)
        if version == 1:
            assert content(file) == before, number
        bring_up_to_date(file)
        assert content(file) == after, number
    # killed between migrations, too; whether anything follows the last one depends on its kind
    known = {migration.version for migration in packaged_migrations()}
    assert versions | {max(known)} == known
