"""The order of the queue with several owners, and positions in it."""

import random
from collections.abc import Sequence

import pytest

from asgard_async.core.timestamps import now
from asgard_async.domain.errors import QueueShareUsed
from asgard_async.domain.job import Job
from asgard_async.store.database import Database, queries
from asgard_async.store.jobs import JobStore
from tests.store.conftest import accept, new_job

Entry = tuple[str, int, bool]
"""Owner, priority, and whether the owner is an administrator."""


async def position(store: JobStore, job: Job) -> int | None:
    return await store.queue_position(await store.get(job.job_id))


async def claimed(store: JobStore, entries: Sequence[Entry]) -> list[int]:
    """Accept jobs, check their positions, and claim them all; return their indices in order."""
    jobs = [
        await accept(store, submitted_by=owner, priority=priority, has_global_priority=is_admin)
        for owner, priority, is_admin in entries
    ]
    index = {job.job_id: number for number, job in enumerate(jobs)}
    positions = {await store.queue_position(job) or 0: job.job_id for job in jobs}
    assert sorted(positions) == list(range(1, len(jobs) + 1))
    order = []
    while (job := await store.claim_next(now())) is not None:
        order.append(index[job.job_id])
        assert positions[len(order)] == job.job_id
        left = len(jobs) - len(order)
        assert sorted([at for j in jobs if (at := await position(store, j))]) == [
            *range(1, left + 1)
        ]
    return order


async def test_a_high_priority_overtakes_no_other_owner(store: JobStore) -> None:
    assert await claimed(store, [("bob", 0, False), ("ada", 100, False)]) == [0, 1]


async def test_an_owner_orders_its_own_places(store: JobStore) -> None:
    entries = [("ada", 0, False), ("bob", 0, False), ("ada", 100, False), ("ada", 50, False)]
    assert await claimed(store, entries) == [2, 1, 3, 0]


async def test_a_low_priority_lets_everybody_pass(store: JobStore) -> None:
    entries = [("ada", -1, False), ("bob", 0, False), ("ada", 5, False), ("ada", -2, False)]
    assert await claimed(store, entries) == [1, 2, 0, 3]


async def test_priorities_of_administrators_are_global(store: JobStore) -> None:
    entries = [("ada", 100, False), ("root", 1, True), ("root", 0, True), ("root", 2, True)]
    assert await claimed(store, entries) == [3, 1, 0, 2]


async def test_others_keep_their_places_in_any_mix(store: JobStore) -> None:
    """An owner's priorities change nothing for the others, and positions predict the order."""
    randomness = random.Random(7)
    entries = [
        (owner, randomness.randint(-2, 3), owner == "root")
        for owner in randomness.choices(["ada", "bob", "eve", "root"], k=24)
    ]
    order = await claimed(store, entries)
    plain = [
        (owner, min(priority, 0) if owner == "ada" else priority, is_admin)
        for owner, priority, is_admin in entries
    ]
    undisturbed = await claimed(store, plain)
    assert [entries[n][0] == "ada" or n for n in order] == [
        entries[n][0] == "ada" or n for n in undisturbed
    ]


async def test_an_owner_may_queue_a_share(store: JobStore) -> None:
    await accept(store, submitted_by="bob")
    for number in range(4):
        try:
            await store.accept(
                new_job(submitted_by="ada"),
                draw_id=f"{number:08x}".__str__,
                max_queued=9,
                max_queued_of_owner=3,
                at=now(),
            )
        except QueueShareUsed:
            assert number == 3
    assert (await store.counts_of("ada")) == {"queued": 3}


@pytest.mark.parametrize("name", ["first_in_queue", "most_urgent_of", "queued_of", "own_urgent"])
async def test_no_query_of_the_queue_reads_all_jobs(database: Database, name: str) -> None:
    sql = getattr(queries, name).sql
    given = dict.fromkeys(("owner", "submitted_by", "queue_priority"), 0)
    plan = await database.read(
        lambda conn: [row["detail"] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
    )
    assert all("USING INDEX jobs_in_queue" in step or "COVERING INDEX" in step for step in plan)
