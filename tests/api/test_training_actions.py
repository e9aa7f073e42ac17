"""Cancelling and retrying jobs over HTTP."""

from asgard_async.api.schemas.jobs import JobSchema, RetriedJobSchema
from asgard_async.jobs.submit.component import SUBMITTER
from tests.store.conftest import accept
from tests.support.api_service import (
    ENDLESS,
    cancel,
    finished,
    in_status,
    job,
    problem,
    store_of,
    submit,
)
from tests.support.app_server import Client


async def test_a_queued_job_is_cancelled_at_once(shared_api: Client) -> None:
    made = await accept(store_of(shared_api))
    response = await shared_api.post(f"/mlops/training/jobs/{made.job_id}/cancel")
    assert response.status == 202
    document = await response.json()
    assert not JobSchema().validate(document)
    assert document["status"] == "cancelled"


async def test_a_running_job_is_cancelled(busy_api: Client) -> None:
    made = await submit(busy_api, ENDLESS)
    await in_status(busy_api, made["job_id"], "running")
    document = await cancel(busy_api, made["job_id"])
    assert (document["status"], document["reason"]) == ("cancelled", "cancelled")


async def test_cancelling_twice_changes_nothing(busy_api: Client) -> None:
    made = await submit(busy_api)
    before = await finished(busy_api, made["job_id"])
    assert await cancel(busy_api, made["job_id"]) == before
    assert before["status"] == "completed"


async def test_a_retry_is_a_new_job_with_the_same_specification(busy_api: Client) -> None:
    made = await submit(busy_api, "print(7)", tags={"a": "b"}, priority=5, timeout=77)
    first = await finished(busy_api, made["job_id"])
    response = await busy_api.post(f"{made['links']['self']}/retry")
    document = await response.json()
    assert response.status == 202
    assert not RetriedJobSchema().validate(document)
    assert document["retry_of"] == made["job_id"]
    assert response.headers["Location"] == document["links"]["self"]
    again = await finished(busy_api, document["job_id"])
    for name in ("script_name", "experiment_name", "model_name", "tags", "priority", "timeout"):
        assert again[name] == first[name]
    assert again["logs"] == "7\n"
    assert (await job(busy_api, made["job_id"]))["retry_of"] is None


async def test_a_stopping_service_rejects_a_retry(api: Client) -> None:
    made = await accept(store_of(api))
    api.app[SUBMITTER].close()
    response = await api.post(f"/mlops/training/jobs/{made.job_id}/retry")
    await problem(response, 503)
