"""A database of schema 5 with a thousand jobs: the table is rebuilt without loss."""

import contextlib
import hashlib
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asgard_async.domain.errors import IdempotencyConflict
from asgard_async.domain.job import JobSpec
from asgard_async.domain.status import Phase, Reason, Status
from asgard_async.domain.transitions import status_in
from asgard_async.store.database import Database, bring_up_to_date
from asgard_async.store.jobs import JobStore
from asgard_async.store.migrate import migrate, packaged_migrations
from tests.store.conftest import accept

JOBS = 1000
PHASES = [*Phase]
REASONS = [*Reason]
AT = "2026-01-31T12:00:00.000000Z"
LAST_SEQ = JOBS + 1
"""Of a job that was deleted."""


FIELDS = JobSpec.__dataclass_fields__.keys() - {"args", "params"}
"""The fields of a specification in schema 5."""


def spec_of(number: int) -> JobSpec:
    has_archive = number % 5 == 0
    return JobSpec(
        script_name="project.zip" if has_archive else f"träin {number}.py",
        experiment_name=f'"experiment" {number % 3}',
        model_name="m\\odel",
        script_sha256=f"{number:064x}",
        entrypoint="src/train.py" if has_archive else None,
        requirements=("numpy>=2", 'x; python_version > "3"') if number % 2 else (),
        environment_vars={"Ä": "\U0001f40d\n\x7f", "QUOTE": "\"'"} if number % 3 else {},
        timeout=60 + number,
        tags={"number": str(number), "team": "ü"} if number % 7 else {},
        priority=number % 201 - 100,
        warm=number % 4 > 0,
        memory_mb=number if number % 6 else None,
        cpus=number / 7 if number % 11 else None,
    )


def digest_of(spec: JobSpec) -> str:
    """The digest of schema 5, in which some fields count only if they are present."""
    fields = {name: getattr(spec, name) for name in FIELDS}
    for later in ("entrypoint", "memory_mb", "cpus"):
        if fields[later] is None:
            del fields[later]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def insert(connection: sqlite3.Connection, number: int) -> None:
    """Insert a job as the code of schema 5 did, in one of the phases."""
    spec = spec_of(number)
    phase = PHASES[number % len(PHASES)]
    has_outcome = phase in {Phase.RECORDING, Phase.FINISHED}
    reason = REASONS[number // len(PHASES) % len(REASONS)] if has_outcome else None
    row: dict[str, Any] = {
        **{name: getattr(spec, name) for name in FIELDS},
        "job_id": f"{number:08x}",
        "requirements": json.dumps(spec.requirements, ensure_ascii=False),
        "environment_vars": json.dumps(spec.environment_vars, ensure_ascii=False),
        "tags": json.dumps(spec.tags, ensure_ascii=False),
        "archive": f"{number}.zip" if spec.entrypoint else None,
        "uses_tracking": number % 2,
        "imports": '["numpy"]' if number % 3 else None,
        "retry_of": "00000000" if number % 9 == 0 else None,
        "submitted_by": "ci" if number % 2 else "",
        "status": status_in(phase, reason),
        "phase": phase,
        "attempt": number % 4,
        "created_at": AT,
        "started_at": AT if phase is not Phase.QUEUED else None,
        "cold_reason": "isolation" if phase is Phase.RUNNING else None,
        "isolation": "sandbox-lite" if phase is Phase.RUNNING else None,
        "cancel_requested_at": AT if phase is Phase.STOPPING else None,
        "reason": reason,
        "exit_code": 3 if reason is Reason.EXIT_CODE else None,
        "signal": "SIGKILL" if reason is Reason.SIGNAL else None,
        "error": "wrong" if reason else None,
        "ended_at": AT if reason else None,
        "peak_memory_bytes": number << 33 if reason else None,
        "cpu_seconds": number / 3 if reason else None,
        "run_id": "r" if phase is Phase.FINISHED else None,
        "tracking_pending": int(phase is Phase.RECORDING),
    }
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    seq = connection.execute(f"INSERT INTO jobs ({names}) VALUES ({values})", row).lastrowid  # noqa: S608
    if row["archive"] is None:
        connection.execute("INSERT INTO job_scripts VALUES (?, ?)", (seq, f"{number}".encode()))
    for key, value in spec.tags.items():
        connection.execute("INSERT INTO job_tags VALUES (?, ?, ?, ?)", (key, value, AT, seq))
    connection.execute(
        "INSERT INTO job_history (job_seq, status, phase, at) VALUES (?, 'queued', 'queued', ?)",
        (seq, AT),
    )
    connection.execute(
        "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?)",
        (row["submitted_by"], f"key {number}", digest_of(spec), row["job_id"], AT),
    )


@pytest.fixture
def old(tmp_path: Path) -> Path:
    file = tmp_path / "asgard.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection, packaged_migrations()[:5])
        connection.execute("BEGIN")
        for number in range(1, LAST_SEQ + 1):
            insert(connection, number)
        connection.execute("DELETE FROM jobs WHERE seq = ?", (LAST_SEQ,))
        connection.execute("COMMIT")
    return file


def tables(file: Path) -> dict[str, list[Any]]:
    """The rows of every table but `jobs`."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'jobs'"
        ).fetchall()
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names}  # noqa: S608


def kept_columns(file: Path) -> list[dict[str, Any]]:
    """The rows of `jobs` without the columns that the specification took over."""
    # and without those that later migrations added
    gone = {"queue_priority", "place", *FIELDS, "spec"} - {
        "experiment_name",
        "model_name",
        "priority",
    }
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM jobs ORDER BY seq")]
    return [{name: row[name] for name in row if name not in gone} for row in rows]


def objects(file: Path) -> set[tuple[str, str, str]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT type, name, tbl_name FROM sqlite_master")
        return {(kind, name, table) for kind, name, table in found}


def test_every_row_of_every_table_is_kept(old: Path) -> None:
    before, jobs, schema = tables(old), kept_columns(old), objects(old)
    assert bring_up_to_date(old)[0] == "0006_spec.sql"
    after = tables(old)
    given = [row for row in after["job_tags"] if row[0].startswith("asgard.")]
    assert after | {"job_tags": [row for row in after["job_tags"] if row not in given]} == before
    assert {row[1] for row in given} == {"Ä", "QUOTE"}  # names of variables
    assert kept_columns(old) == jobs
    assert len(jobs) == JOBS
    added = {("index", name, "jobs") for name in ("jobs_by_owner", "jobs_in_queue_by_owner")}
    assert objects(old) == schema | added
    assert {len(before[name]) for name in ("job_history", "idempotency_keys")} == {JOBS, LAST_SEQ}
    assert before["retired_job_ids"] == [(f"{LAST_SEQ:08x}",)]


async def test_specifications_and_digests_are_kept(old: Path) -> None:
    async with Database(old) as database:
        store = JobStore(database)
        for number in range(1, JOBS + 1):
            job = await store.get(f"{number:08x}")
            assert job.spec == spec_of(number)
            assert job.phase is PHASES[number % len(PHASES)]
            owner, key = job.submitted_by, f"key {number}"
            assert await store.find_twin(owner, key, spec_of(number).digest()) == job
            if job.archive is None:
                assert await store.script(job.job_id) == f"{number}".encode()
            with pytest.raises(IdempotencyConflict):
                await store.find_twin(owner, key, spec_of(number + 1).digest())


async def test_jobs_are_counted_deleted_and_numbered_on(old: Path) -> None:
    at = datetime(2026, 2, 1, tzinfo=UTC)
    async with Database(old) as database:
        store = JobStore(database)
        before = await store.counts()
        assert sum(before.values()) == JOBS
        job = await accept(store)
        assert job.seq == LAST_SEQ + 1
        assert (await store.counts())[Status.QUEUED] == before[Status.QUEUED] + 1
        await store.request_cancel(job.job_id, at=at)
        assert (await store.counts())[Status.CANCELLED] == before[Status.CANCELLED] + 1
        await store.delete(job.job_id)
        assert await store.counts() == before
        assert await store.history(job.job_id) == []
    retired = [job_id for (job_id,) in tables(old)["retired_job_ids"]]
    assert retired == sorted([f"{LAST_SEQ:08x}", job.job_id])
    with contextlib.closing(sqlite3.connect(old)) as connection:
        # neither list of values is in the table any more
        connection.execute("UPDATE jobs SET reason = 'new' WHERE phase = 'finished'")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE jobs SET reason = NULL WHERE phase = 'finished'")
