"""Jobs in a real database: guards, order, pages, counts, idempotency."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from asgard_async.core.timestamps import now
from asgard_async.domain.errors import (
    IdempotencyConflict,
    JobNotFinished,
    JobNotFound,
    QueueFull,
)
from asgard_async.domain.job import Job, JobRun, JobTracking, Outcome, Started
from asgard_async.domain.status import Phase, Reason, Status
from asgard_async.domain.transitions import TRANSITIONS, TransitionRefused
from asgard_async.store import jobs as jobs_module
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from asgard_async.store.listing import Cursor, JobFilter
from tests.store.conftest import accept, new_job


def outcome(reason: Reason = Reason.SUCCEEDED) -> Outcome:
    return Outcome(
        reason=reason, exit_code=0 if reason is Reason.SUCCEEDED else None, ended_at=now()
    )


async def bring_to(store: JobStore, phase: Phase) -> Job:
    """Create a job, and move it to `phase` on the shortest path."""
    job = await accept(store)
    if phase is Phase.QUEUED:
        return job
    claimed = await store.claim_next(now())
    assert claimed is not None
    if phase is Phase.STARTING:
        return claimed
    if phase is Phase.STOPPING:
        return await store.request_cancel(job.job_id, at=now())
    job = await store.move(
        job.job_id, Phase.RUNNING, at=now(), attempt=1, started=Started(at=now())
    )
    if phase is Phase.RUNNING:
        return job
    job = await store.end(job.job_id, Phase.RECORDING, outcome(), at=now(), attempt=1)
    if phase is Phase.RECORDING:
        return job
    return await store.finish(job.job_id, at=now())


async def test_an_accepted_job_is_read_back_unchanged(store: JobStore) -> None:
    new = new_job(
        b"\xff\x00script",
        requirements=("numpy>=2",),
        environment_vars={"A": "ä"},
        tags={"path": "/a/b"},
        priority=-3,
        warm=False,
        submitted_by="ci",
        retry_of="deadbeef",
    )
    job = await accept(store, new)
    assert await store.get(job.job_id) == job
    assert job.spec == new.spec
    assert (job.status, job.phase, job.attempt) == (Status.QUEUED, Phase.QUEUED, 0)
    assert (job.submitted_by, job.retry_of) == ("ci", "deadbeef")
    assert await store.script(job.job_id) == b"\xff\x00script"
    assert [entry.phase for entry in await store.history(job.job_id)] == [Phase.QUEUED]


async def test_an_accepted_job_is_seen_by_other_connections(
    store: JobStore, database: Database, tmp_path: object
) -> None:
    job = await accept(store)
    with sqlite3.connect(f"{tmp_path}/asgard.db") as other:
        rows = other.execute("SELECT job_id FROM jobs").fetchall()
    other.close()
    assert rows == [(job.job_id,)]


async def test_claims_go_by_priority_then_age(store: JobStore) -> None:
    for priority, name in [(0, "c"), (5, "a"), (0, "d"), (5, "b"), (-1, "e")]:
        await accept(store, priority=priority, model_name=name)
    claimed = []
    while (job := await store.claim_next(now())) is not None:
        claimed.append(job.spec.model_name)
        assert (job.phase, job.attempt) == (Phase.STARTING, 1)
    assert claimed == ["a", "b", "c", "d", "e"]


async def test_concurrent_claims_take_each_job_once(store: JobStore) -> None:
    for _ in range(20):
        await accept(store)
    claimed = await asyncio.gather(*(store.claim_next(now()) for _ in range(30)))
    ids = [job.job_id for job in claimed if job is not None]
    assert len(ids) == len(set(ids)) == 20


@pytest.mark.parametrize(
    "source",
    [Phase.QUEUED, Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.RECORDING, Phase.FINISHED],
)
@pytest.mark.parametrize(
    "target",
    [Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.QUEUED, Phase.RECORDING, Phase.FINISHED],
)
async def test_the_sql_guard_matches_the_transition_table(
    store: JobStore, source: Phase, target: Phase
) -> None:
    job = await bring_to(store, source)
    allowed = target in TRANSITIONS[source]
    try:
        if target in {Phase.RECORDING, Phase.FINISHED} and job.outcome is None:
            await store.end(job.job_id, target, outcome(), at=now(), attempt=job.attempt)
        else:
            await store.move(job.job_id, target, at=now(), attempt=job.attempt)
    except TransitionRefused:
        assert not allowed
        assert (await store.get(job.job_id)).phase is source
    else:
        assert allowed
        assert (await store.get(job.job_id)).phase is target
        assert (await store.history(job.job_id))[-1].phase is target


async def test_an_older_attempt_cannot_move_the_job(store: JobStore) -> None:
    job = await bring_to(store, Phase.RUNNING)
    await store.move(job.job_id, Phase.QUEUED, at=now(), attempt=1)
    again = await store.claim_next(now())
    assert again is not None
    assert again.attempt == 2
    with pytest.raises(TransitionRefused):
        await store.move(job.job_id, Phase.RUNNING, at=now(), attempt=1)
    assert (await store.get(job.job_id)).started_at is None


async def test_a_finished_job_never_changes(store: JobStore) -> None:
    job = await bring_to(store, Phase.FINISHED)
    with pytest.raises(TransitionRefused):
        await store.end(job.job_id, Phase.FINISHED, outcome(Reason.LOST), at=now())
    assert await store.request_cancel(job.job_id, at=now()) == job
    assert (await store.get(job.job_id)).status is Status.COMPLETED


async def test_a_job_without_an_end_cannot_finish(store: JobStore) -> None:
    job = await bring_to(store, Phase.RUNNING)
    with pytest.raises(TransitionRefused):
        await store.finish(job.job_id, at=now())
    with pytest.raises(JobNotFound):
        await store.finish("00000000", at=now())


async def test_cancelling_a_queued_job_ends_it_at_once(store: JobStore) -> None:
    job = await accept(store)
    cancelled = await store.request_cancel(job.job_id, at=now())
    assert cancelled.status is Status.CANCELLED
    assert cancelled.final_outcome is not None
    assert cancelled.final_outcome.reason is Reason.CANCELLED
    assert await store.claim_next(now()) is None


async def test_the_first_cancellation_counts(store: JobStore) -> None:
    job = await bring_to(store, Phase.STOPPING)
    again = await store.request_cancel(job.job_id, at=now() + timedelta(hours=1))
    assert again.cancel_requested_at == job.cancel_requested_at


async def test_tracking_is_pending_until_it_is_set(store: JobStore) -> None:
    job = await bring_to(store, Phase.RUNNING)
    await store.end(job.job_id, Phase.RECORDING, outcome(), at=now(), tracking_pending=True)
    await store.finish(job.job_id, at=now())
    assert [j.job_id for j in await store.to_track(10)] == [job.job_id]
    run = JobRun(
        run_id="r1", experiment_id="0", name="n", status="FINISHED", started_at=now(), ended_at=None
    )
    tracking = JobTracking(run_id="r1", model_version="2", runs=(run,))
    await store.set_tracking(job.job_id, tracking, note="no model")
    assert await store.to_track(10) == []
    known = await store.get(job.job_id)
    assert known.tracking == tracking
    assert known.outcome is not None
    assert known.outcome.detail == "no model"
    assert [entry.detail for entry in await store.history(job.job_id)][-2:] == [None, "no model"]


async def test_a_note_on_tracking_is_part_of_the_history(store: JobStore) -> None:
    """Also of a job whose outcome has a detail, and only if there is a note."""
    for note in ("the newest of 2", None):
        job = await bring_to(store, Phase.RUNNING)
        killed = replace(outcome(), detail="killed")
        await store.end(job.job_id, Phase.RECORDING, killed, at=now(), tracking_pending=True)
        await store.set_tracking(job.job_id, JobTracking(), note=note)
        await store.finish(job.job_id, at=now())
        assert [e.detail for e in await store.history(job.job_id)][-2:] == ["killed", note]


async def test_counts_follow_every_transition(store: JobStore) -> None:
    for phase in (Phase.FINISHED, Phase.QUEUED):
        await bring_to(store, phase)
    await bring_to(store, Phase.QUEUED)
    counts = await store.counts()
    assert sum(counts.values()) == 3
    with sqlite3.connect(store._database._file) as other:
        rows = dict(other.execute("SELECT status, count(*) FROM jobs GROUP BY status").fetchall())
    other.close()
    assert {status: count for status, count in counts.items() if count} == rows


async def test_a_full_queue_rejects_without_a_trace(store: JobStore) -> None:
    await accept(store)
    with pytest.raises(QueueFull):
        await store.accept(new_job(), draw_id=lambda: "0" * 8, max_queued=1, at=now())
    assert (await store.counts())[Status.QUEUED] == 1


async def test_ids_are_never_reused_even_after_deletion(store: JobStore) -> None:
    job = await bring_to(store, Phase.FINISHED)
    await store.delete(job.job_id)
    draws = iter([job.job_id, "0000000a", "0000000a", job.job_id, "0000000b"])
    first, _ = await store.accept(new_job(), draw_id=draws.__next__, max_queued=9, at=now())
    second, _ = await store.accept(new_job(), draw_id=draws.__next__, max_queued=9, at=now())
    assert (first.job_id, second.job_id) == ("0000000a", "0000000b")


async def test_delete_removes_all_rows_of_the_job(store: JobStore) -> None:
    job = await bring_to(store, Phase.FINISHED)
    await store.delete(job.job_id)
    with pytest.raises(JobNotFound):
        await store.get(job.job_id)
    with pytest.raises(JobNotFound):
        await store.script(job.job_id)
    with pytest.raises(JobNotFound):
        await store.delete(job.job_id)
    assert await store.history(job.job_id) == []
    running = await bring_to(store, Phase.RUNNING)
    with pytest.raises(JobNotFinished):
        await store.delete(running.job_id)


async def test_the_same_key_and_specification_give_one_job(store: JobStore) -> None:
    new = new_job(idempotency_key="k", submitted_by="ci")
    results = await asyncio.gather(
        *(
            store.accept(new, draw_id=f"{n:08x}".__str__, max_queued=100, at=now())
            for n in range(10)
        )
    )
    assert len({job.job_id for job, _ in results}) == 1
    assert [created for _, created in results].count(True) == 1
    assert (await store.counts())[Status.QUEUED] == 1


async def test_the_same_key_for_another_job_is_rejected(store: JobStore) -> None:
    await accept(store, idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        await accept(store, idempotency_key="k", priority=1)
    with pytest.raises(IdempotencyConflict):
        await accept(store, new_job(b"other", idempotency_key="k"))
    await accept(store, idempotency_key="k", submitted_by="somebody else")


async def test_a_key_outlives_its_job_for_a_day(store: JobStore) -> None:
    new = new_job(idempotency_key="k")
    job = await accept(store, new)
    await store.request_cancel(job.job_id, at=now())
    assert await store.purge_idempotency_keys(at=now() + timedelta(hours=25)) == 0  # job exists
    await store.delete(job.job_id)
    assert await store.purge_idempotency_keys(at=now() + timedelta(hours=23)) == 0
    with pytest.raises(IdempotencyConflict, match="deleted"):
        await accept(store, new)
    assert await store.purge_idempotency_keys(at=now() + timedelta(hours=25)) == 1
    assert (await accept(store, new)).job_id != job.job_id


async def test_queue_position_counts_the_jobs_ahead(store: JobStore) -> None:
    low, high, low2 = [await accept(store, priority=p) for p in (0, 1, 0)]
    assert [await store.queue_position(job) for job in (low, high, low2)] == [2, 1, 3]
    claimed = await store.claim_next(now())
    assert claimed is not None
    assert await store.queue_position(claimed) is None
    assert await store.queue_position(low) == 1


async def test_pages_list_every_job_once_newest_first(store: JobStore) -> None:
    moment = now()
    for n in range(25):
        # several jobs of one instant: the cursor must tell them apart
        await store.accept(
            new_job(),
            draw_id=f"{n:08x}".__str__,
            max_queued=99,
            at=moment + timedelta(seconds=n // 4),
        )
    seen: list[int] = []
    cursor = None
    while page := (await store.list(JobFilter(), after=cursor, limit=4)).jobs:
        seen += [job.seq for job in page]
        cursor = Cursor(created_at=page[-1].created_at, seq=page[-1].seq)
    assert seen == list(range(25, 0, -1))


async def test_filters_can_be_combined(store: JobStore) -> None:
    a = await accept(store, experiment_name="a", tags={"team": "x", "path": "/k:v"})
    b = await accept(store, experiment_name="b", tags={"team": "x"}, model_name="other")
    c = await accept(store, experiment_name="a", tags={"team": "y"})
    await store.request_cancel(c.job_id, at=now())

    async def ids(only: JobFilter) -> list[str]:
        return [job.job_id for job in (await store.list(only, limit=9)).jobs]

    assert await ids(JobFilter()) == [c.job_id, b.job_id, a.job_id]
    assert await ids(JobFilter(experiment_name="a")) == [c.job_id, a.job_id]
    assert await ids(JobFilter(status=Status.QUEUED)) == [b.job_id, a.job_id]
    assert await ids(JobFilter(model_name="other")) == [b.job_id]
    assert await ids(JobFilter(tag=("team", "x"))) == [b.job_id, a.job_id]
    assert await ids(JobFilter(tag=("path", "/k:v"))) == [a.job_id]
    assert await ids(JobFilter(tag=("team", "x"), experiment_name="a")) == [a.job_id]
    assert await ids(JobFilter(created_after=a.created_at)) == [c.job_id, b.job_id]
    assert await ids(JobFilter(tag=("team", "x"), created_after=a.created_at)) == [b.job_id]


@pytest.mark.parametrize(
    "only",
    [
        JobFilter(),
        JobFilter(status=Status.QUEUED),
        JobFilter(experiment_name="experiment"),
        JobFilter(model_name="model"),
        JobFilter(tag=("a", "b")),
        JobFilter(created_after=now()),
    ],
)
async def test_pages_are_read_from_an_index(database: Database, only: JobFilter) -> None:
    from asgard_async.store.listing import list_statement

    sql, parameters = list_statement(only, Cursor(created_at=now(), seq=5), 50)
    plan = await database.read(
        lambda conn: [
            row["detail"] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        ]
    )
    assert not any("TEMP B-TREE" in step for step in plan), plan
    assert all(step.startswith("SEARCH") for step in plan), plan


async def test_counts_notice_deletions_by_other_processes(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await bring_to(store, Phase.FINISHED)
    assert (await store.counts())[Status.COMPLETED] == 1
    async with Database(tmp_path / "asgard.db") as elsewhere:
        await JobStore(elsewhere).delete(job.job_id)  # as `asgard gc` does
    monkeypatch.setattr(jobs_module, "COUNTS_SECONDS", 0.0)
    assert not any((await store.counts()).values())
