"""Listing, reading, cancelling, retrying and deleting jobs."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from asgard_async.client import AsyncAsgardClient, Conflict, Job, NotFound, Status
from asgard_async.client.calls import jobs as calls
from tests.client.conftest import NAMES


async def test_all_pages_are_listed(
    client: AsyncAsgardClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "PAGE", 2)
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = [
        await client.submit(
            source="pass", experiment_name="paged", model_name="m", tags={"of": "pages: five"}
        )
        for _ in range(5)
    ]
    newest_first = [job.job_id for job in reversed(made)]
    listed = [job.job_id async for job in client.list(experiment_name="paged")]
    assert listed == newest_first
    by_tag = client.list(tags={"of": "pages: five"}, model_name="m", created_after=before)
    assert [job.job_id async for job in by_tag] == newest_first
    for limit in (0, 1, 2, 3, 5, 6):
        some = [job.job_id async for job in client.list(experiment_name="paged", limit=limit)]
        assert some == newest_first[:limit]
    for job in made:
        await client.wait(job)
    done = client.list(experiment_name="paged", status=Status.COMPLETED)
    assert len([job async for job in done]) == 5
    assert [job async for job in client.list(experiment_name="paged", status="failed")] == []


async def test_impossible_filters_are_rejected(client: AsyncAsgardClient) -> None:
    with pytest.raises(ValueError, match="one tag"):
        [job async for job in client.list(tags={"a": "1", "b": "2"})]
    with pytest.raises(ValueError, match="time zone"):
        [job async for job in client.list(created_after=datetime(2026, 1, 1))]


async def test_jobs_are_cancelled_retried_and_deleted(client: AsyncAsgardClient) -> None:
    job = await client.submit(source="import time; time.sleep(60)", tags={"a": "b"}, **NAMES)
    with pytest.raises(Conflict, match="not finished"):
        await client.delete(job)
    await client.cancel(job)
    assert (await client.wait(job.job_id)).status is Status.CANCELLED
    assert (await client.cancel(job)).status is Status.CANCELLED
    again = await client.retry(job)
    assert again.retry_of == job.job_id
    assert (await client.get(again)).tags == {"a": "b"}
    await client.cancel(again)
    await client.wait(again)
    await client.delete(again)
    with pytest.raises(NotFound):
        await client.delete(again)


def test_a_job_from_a_newer_service_is_parsed() -> None:
    document = {
        "job_id": "3f9c01ab",
        "script_name": "<script>.py",
        "experiment_name": "<b>e</b>",
        "model_name": "m",
        "status": "failed",
        "phase": "a new phase",
        "reason": "a new reason",
        "error": "<img src=x onerror=alert(1)> & 'more'",
        "created_at": "2026-01-31T12:00:00.000000Z",
        "gpu": {"memory": 1},
    }
    job = msgspec.json.decode(msgspec.json.encode(document), type=Job)
    assert (job.phase, job.reason, job.is_finished, job.succeeded) == (
        "a new phase",
        "a new reason",
        True,
        False,
    )
    assert repr(job) == "<Job 3f9c01ab '<script>.py' failed, a new reason>"
    html = job._repr_html_()
    assert "<script>" not in html
    assert "<img" not in html
    assert "<b>" not in html
    assert "&lt;img src=x onerror=alert(1)&gt; &amp;" in html
