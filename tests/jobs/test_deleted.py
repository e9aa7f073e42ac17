"""Jobs whose row is deleted while the service still handles them: nothing waits for them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asgard_async.core.timestamps import now
from asgard_async.domain.errors import JobNotFound
from asgard_async.domain.job import Job, Outcome
from asgard_async.domain.status import Phase, Reason
from asgard_async.jobs.cancellable_waits import CancellableWaits
from asgard_async.jobs.lifecycle import Lifecycle
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from tests.store.conftest import accept

NOT_NEEDED = (
    "config",
    "archives",
    "executor",
    "logs",
    "recording",
    "environment_phase",
    "cancellable_waits",
    "requeued",
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    async with Database(tmp_path / "asgard.db") as database:
        yield JobStore(database)


async def deleted(store: JobStore) -> Job:
    """A claimed job that has failed and was deleted meanwhile."""
    await accept(store)
    job = await store.claim_next(now())
    assert job is not None
    outcome = Outcome(reason=Reason.START_FAILED, ended_at=now())
    await store.end(job.job_id, Phase.FINISHED, outcome, at=now(), attempt=1)
    await store.delete(job.job_id)
    return job


async def test_a_job_deleted_at_once_frees_its_slot(store: JobStore) -> None:
    unused: dict[str, Any] = dict.fromkeys(NOT_NEEDED)
    freed = asyncio.Event()
    async with asyncio.timeout(30):
        await Lifecycle(store=store, **unused).resume(await deleted(store), freed.set)
    assert freed.is_set()


async def test_deleting_a_job_ends_its_waits(store: JobStore) -> None:
    job = await deleted(store)
    given_up = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    with pytest.raises(JobNotFound):
        await CancellableWaits(store).unless_cancelled(job.job_id, work())
    async with asyncio.timeout(30):
        await given_up.wait()
