"""A real database per test, and jobs for it."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asgard_async.core.timestamps import now
from asgard_async.domain.job import Job, JobSpec
from asgard_async.store.accepting import NewJob
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "asgard.db") as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> JobStore:
    return JobStore(database)


def new_job(script: bytes = b"print()", **changes: Any) -> NewJob:
    """A submission; keyword arguments go to NewJob if it has them, else to the specification."""
    outer = {
        name: changes.pop(name)
        for name in (
            *("submitted_by", "idempotency_key", "retry_of", "uses_tracking", "archive"),
            "has_global_priority",
        )
        if name in changes
    }
    spec = {
        "script_name": "train.py",
        "experiment_name": "experiment",
        "model_name": "model",
        "timeout": 300,
        "script_sha256": hashlib.sha256(script).hexdigest(),
    }
    return NewJob(
        spec=JobSpec(**{**spec, **changes}), script=script, **{"uses_tracking": False, **outer}
    )


async def accept(store: JobStore, new: NewJob | None = None, **changes: Any) -> Job:
    """Accept a job and return it."""
    job, _ = await store.accept(
        new or new_job(**changes),
        draw_id=lambda: secrets.token_hex(4),
        max_queued=10_000,
        at=now(),
    )
    return job
