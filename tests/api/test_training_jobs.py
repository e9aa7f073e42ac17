"""Jobs over HTTP: list, get and delete."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from asgard_async.api.schemas.job_in_full import JobInFullSchema
from asgard_async.api.schemas.jobs import JobListSchema
from asgard_async.core.timestamps import now
from asgard_async.domain.job import Job, Outcome, Started
from asgard_async.domain.status import Phase, Reason
from tests.store.conftest import accept
from tests.support.api_service import (
    ENDLESS,
    cancel,
    finished,
    get_json,
    in_status,
    job,
    log_of,
    problem,
    refused_fields,
    store_of,
    submit,
)
from tests.support.app_server import Client

JOBS = "/mlops/training/jobs"
NO_JOBS = ["00000000", "zzzzzzzz", "A1B2C3D4", "1", "a" * 500, "%00", "..", "%ff%fe", "a%2Fb", "é"]
"""Paths without a job."""


async def queued(client: Client, **changes: Any) -> Job:
    """A job that stays in the queue."""
    return await accept(store_of(client), **changes)


async def listed(client: Client, **query: str) -> list[str]:
    page = await get_json(client, JOBS, **query)
    assert page["next_cursor"] is None
    return [one["job_id"] for one in page["jobs"]]


async def test_a_job_is_shown_while_it_runs(shared_api: Client) -> None:
    """Fields that are known only at the end are null until then."""
    first = await queued(shared_api, priority=99)
    second = await queued(shared_api, requirements=("numpy",), tags={"a": "b"}, priority=100)
    document = await job(shared_api, first.job_id)
    assert not JobInFullSchema().validate(document)
    unknown = ("started_at", "completed_at", "reason", "exit_code", "signal", "error", "run_id")
    assert [document[name] for name in unknown] == [None] * len(unknown)
    assert (document["status"], document["phase"]) == ("queued", "queued")
    assert document["queue_position"] == 2
    assert document["logs"] == ""
    document = await job(shared_api, second.job_id)
    assert document["queue_position"] == 1
    assert (document["requirements"], document["tags"]) == (["numpy"], {"a": "b"})
    assert document["created_at"].endswith("Z")
    assert document["environment_vars"] == {}


async def test_the_outcome_is_shown_only_when_final(api: Client) -> None:
    """While Asgard still asks MLflow for the runs, the job must not look finished to clients."""
    made, store = await queued(api), store_of(api)
    await store.claim_next(now())
    ended = Outcome(reason=Reason.EXIT_CODE, exit_code=3, error="It failed.", ended_at=now())
    started = Started(at=now())
    await store.end(made.job_id, Phase.RECORDING, ended, at=now(), started=started)
    document = await job(api, made.job_id)
    assert (document["status"], document["phase"]) == ("running", "recording")
    for name in ("completed_at", "reason", "exit_code", "error"):
        assert document[name] is None
    await store.finish(made.job_id, at=now())
    document = await job(api, made.job_id)
    assert (document["status"], document["reason"]) == ("failed", "exit_code")
    assert (document["exit_code"], document["error"]) == (3, "It failed.")
    assert document["completed_at"] is not None


async def test_a_finished_job_is_shown_in_full(busy_api: Client) -> None:
    made = await submit(busy_api, "import sys\nsys.exit('no data')\n")
    document = await finished(busy_api, made["job_id"])
    assert not JobInFullSchema().validate(document)
    assert (document["status"], document["reason"], document["exit_code"]) == (
        "failed",
        "exit_code",
        1,
    )
    assert document["error"]
    assert document["logs"] == "no data\n"
    assert document["duration_seconds"] > 0
    assert document["resources"]["peak_memory_bytes"] > 1_000_000
    assert document["timings"].keys() == {"queued", "starting", "running", "recording"}
    assert [entry["phase"] for entry in document["history"]][-1] == "finished"
    assert document["queue_position"] is None


@pytest.mark.parametrize("job_id", NO_JOBS)
@pytest.mark.parametrize(
    ("method", "suffix"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("GET", "/script"),
        ("GET", "/logs"),
        ("GET", "/logs?tail=5"),
        ("GET", "?logs=full"),
    ],
)
async def test_an_unknown_job_is_404(
    shared_api: Client, job_id: str, method: str, suffix: str
) -> None:
    response = await shared_api.request(method, f"{JOBS}/{quote(job_id, safe='%')}{suffix}")
    # clients resolve dots before sending, so the path is another one
    if job_id != "..":
        await problem(response, 404)


async def test_the_length_of_the_log_excerpt_can_be_chosen(shared_api: Client) -> None:
    made = await queued(shared_api)
    text = "".join(f"Zeile {n} größer\n" for n in range(10_000))
    log_of(shared_api, made.job_id).write_text(text)
    assert "logs" not in await job(shared_api, made.job_id, logs="none")
    assert (await job(shared_api, made.job_id, logs="full"))["logs"] == text
    tail = (await job(shared_api, made.job_id))["logs"]
    assert text.endswith(tail)
    assert 65_533 <= len(tail.encode()) <= 65_536
    response = await shared_api.get(f"{JOBS}/{made.job_id}", params={"logs": "some"})
    assert (await refused_fields(response)).keys() == {"logs"}


@pytest.mark.parametrize("part", ["tail", "full"])
async def test_a_log_of_any_bytes_is_shown(shared_api: Client, part: str) -> None:
    made = await queued(shared_api)
    data = bytes(range(256)) * 300 + "…".encode()[:2]
    log_of(shared_api, made.job_id).write_bytes(data)
    shown = (await job(shared_api, made.job_id, logs=part))["logs"]
    assert data.decode("utf-8", "replace").endswith(shown[1:])
    assert (part == "full") == (data.decode("utf-8", "replace") == shown)


async def test_a_tail_never_starts_inside_a_character(shared_api: Client) -> None:
    made = await queued(shared_api)
    log_of(shared_api, made.job_id).write_bytes("€".encode() * 30_000)
    assert set((await job(shared_api, made.job_id))["logs"]) == {"€"}


async def test_head_of_a_streamed_response_has_no_body(shared_api: Client) -> None:
    made = await queued(shared_api)
    log_of(shared_api, made.job_id).write_text("text")
    for path in (f"{JOBS}/{made.job_id}?logs=full", f"{JOBS}/{made.job_id}/logs"):
        response = await shared_api.head(path)
        assert response.status == 200
        assert await response.read() == b""
        # the connection is still usable
        assert (await shared_api.get("/health/live")).status == 200


async def test_the_list_is_newest_first_in_pages(shared_api: Client) -> None:
    made = [(await queued(shared_api)).job_id for _ in range(7)]
    seen: list[str] = []
    query = {"limit": "3"}
    while True:
        page = await get_json(shared_api, JOBS, **query)
        assert not JobListSchema().validate(page)
        seen += [one["job_id"] for one in page["jobs"]]
        if page["next_cursor"] is None:
            break
        assert len(page["jobs"]) == 3
        query["cursor"] = page["next_cursor"]
        await queued(shared_api)  # new jobs do not shift the pages
    assert len(seen) == len(set(seen))
    assert seen[: len(made)] == made[::-1]  # older jobs are of other tests


async def test_a_full_last_page_has_no_next(shared_api: Client) -> None:
    made = [(await queued(shared_api, model_name="three")).job_id for _ in range(3)]
    assert await listed(shared_api, limit="3", model_name="three") == made[::-1]


async def test_jobs_can_be_filtered(api: Client) -> None:
    old = await queued(api, experiment_name="a", model_name="x", tags={"k": "v:w", "p": ""})
    new = await queued(api, experiment_name="ä b", model_name="y", tags={"k": "other"})
    await cancel(api, new.job_id)
    assert await listed(api) == [new.job_id, old.job_id]
    assert await listed(api, status="queued") == [old.job_id]
    assert await listed(api, status="cancelled", model_name="y") == [new.job_id]
    assert await listed(api, status="completed") == []
    assert await listed(api, experiment_name="ä b") == [new.job_id]
    assert await listed(api, model_name="x") == [old.job_id]
    assert await listed(api, model_name="x", experiment_name="ä b") == []
    assert await listed(api, tag="k:v:w") == [old.job_id]
    assert await listed(api, tag="p:") == [old.job_id]
    assert await listed(api, tag="k:none") == []
    after_old = old.created_at.isoformat()
    assert await listed(api, created_after=after_old) == [new.job_id]
    assert await listed(api, created_after=(now() + timedelta(days=1)).isoformat()) == []
    assert await listed(api, experiment_name="a\0b") == []


async def test_jobs_are_filtered_by_what_they_were_given(api: Client) -> None:
    a = await queued(
        api,
        args=("--fast", "a b", "--fast"),
        params={"lr": 0.1, "on": True, "name": "0.1"},
        environment_vars={"EPOCHS": "3"},
        tags={"team": "x"},
    )
    b = await queued(api, params={"lr": 0.1}, environment_vars={"EPOCHS": "4", "SECRET": "s3cret"})
    assert await listed(api, param="lr:0.1") == [b.job_id, a.job_id]
    assert await listed(api, param="lr:0.1", arg="--fast", tag="team:x") == [a.job_id]
    assert await listed(api, param="on:true") == await listed(api, param="name:0.1") == [a.job_id]
    assert await listed(api, arg="a b", environment_var="EPOCHS") == [a.job_id]
    assert await listed(api, environment_var="SECRET") == [b.job_id]
    assert await listed(api, arg="a b", environment_var="SECRET") == []
    assert await listed(api, environment_var="s3cret") == []
    page = await get_json(api, JOBS, param="lr:0.1", environment_var="EPOCHS", limit="1")
    again = {"param": "lr:0.1", "environment_var": "EPOCHS", "cursor": page["next_cursor"]}
    assert await listed(api, **again) == [a.job_id]
    assert page["jobs"][0]["params"] == {"lr": 0.1}
    assert (await get_json(api, JOBS, arg="a b"))["jobs"][0]["args"] == [*a.spec.args]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("param", "lr"),
        ("status", "done"),
        ("status", ""),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "x"),
        ("limit", "1.5"),
        ("limit", "9" * 5000),
        ("limit", "1_0"),
        ("limit", "٣"),
        ("tag", "novalue"),
        ("tag", ":value"),
        ("created_after", "yesterday"),
        ("created_after", "2026-01-01"),
        ("created_after", "2026-01-01T00:00:00"),
        ("created_after", "0001-01-01T00:00:00+14:00"),
        ("created_after", "9999-12-31T23:59:59-14:00"),
        ("created_after", "2026-13-01T00:00:00Z"),
        ("cursor", ""),
        ("cursor", "x"),
        ("cursor", "é"),
        ("cursor", "bnVsbA"),
        ("cursor", "W10"),
        ("cursor", "A" * 201),
        ("colour", "red"),
    ],
)
async def test_an_invalid_filter_is_422(shared_api: Client, name: str, value: str) -> None:
    response = await shared_api.get(JOBS, params={name: value})
    assert (await refused_fields(response)).keys() == {name}


@pytest.mark.parametrize(
    "query",
    ["status=queued&status=failed", "model_name=%ff", "model_name=%ed%a0%80", "%ff=1", "=1", "&&"],
)
async def test_an_unusual_query_is_not_a_server_error(shared_api: Client, query: str) -> None:
    response = await shared_api.get(f"{JOBS}?{query}")
    assert response.status in {200, 422}
    json.loads(await response.text())


async def test_only_a_finished_job_can_be_deleted(busy_api: Client) -> None:
    running = await submit(busy_api, ENDLESS)
    await in_status(busy_api, running["job_id"], "running")
    path = running["links"]["self"]
    await problem(await busy_api.delete(path), 409)
    await cancel(busy_api, running["job_id"])
    response = await busy_api.delete(path)
    assert (response.status, await response.read()) == (204, b"")
    await problem(await busy_api.get(path), 404)
    await problem(await busy_api.delete(path), 404)
