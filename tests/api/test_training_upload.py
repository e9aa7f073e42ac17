"""Uploads over HTTP: accepted ones, and the errors of rejected ones."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from asgard_async.api.schemas.jobs import JobSchema
from asgard_async.jobs.submit.component import SUBMITTER
from tests.api.http.test_json_body import MALFORMED, MISSHAPEN
from tests.api.schemas.test_submission import WRONG_TYPES
from tests.support.api_service import (
    ENDLESS,
    HELLO,
    Document,
    cancel,
    finished,
    get_json,
    in_status,
    problem,
    refused_fields,
    running,
    service_config,
    submit,
)
from tests.support.app_server import Client
from tests.support.service import submission

UPLOAD = "/mlops/training/upload"


async def job_ids(client: Client, **query: str) -> list[str]:
    page = await get_json(client, "/mlops/training/jobs", **query)
    return [job["job_id"] for job in page["jobs"]]


async def test_an_upload_is_accepted_and_runs(busy_api: Client) -> None:
    response = await busy_api.post(UPLOAD, json=submission(HELLO, tags={"data": "/a/b.csv"}))
    accepted = await response.json()
    assert response.status == 202
    assert response.headers["Location"] == f"/mlops/training/jobs/{accepted['job_id']}"
    assert not JobSchema().validate(accepted)
    assert accepted["status"] == "queued"
    assert accepted["links"]["self"] == response.headers["Location"]
    job = await finished(busy_api, accepted["job_id"])
    assert (job["status"], job["reason"], job["exit_code"]) == ("completed", "succeeded", 0)
    assert job["logs"] == "hello\n"
    assert job["tags"] == {"data": "/a/b.csv"}
    assert job["timeout"] == 300


async def test_many_simultaneous_uploads_are_accepted(api: Client) -> None:
    answers = await asyncio.gather(*(api.post(UPLOAD, json=submission(HELLO)) for _ in range(100)))
    assert {answer.status for answer in answers} == {202}


async def test_the_same_key_and_upload_give_the_same_job(busy_api: Client) -> None:
    fields = {"model_name": "once", "idempotency_key": "same"}
    first = await submit(busy_api, **fields)
    again = await busy_api.post(UPLOAD, json=submission(HELLO, **fields))
    by_header = await busy_api.post(
        UPLOAD, json=submission(HELLO, model_name="once"), headers={"Idempotency-Key": "same"}
    )
    for response in (again, by_header):
        assert response.status == 200
        assert (await response.json())["job_id"] == first["job_id"]
        assert response.headers["Location"] == first["links"]["self"]
    assert await job_ids(busy_api, model_name="once") == [first["job_id"]]


async def test_the_same_key_for_another_upload_is_a_conflict(busy_api: Client) -> None:
    await submit(busy_api, idempotency_key="conflict")
    other = submission("print('other')", idempotency_key="conflict")
    await problem(await busy_api.post(UPLOAD, json=other), 409)


async def test_concurrent_identical_uploads_give_one_job(busy_api: Client) -> None:
    twin = submission(HELLO, idempotency_key="twin")
    responses = await asyncio.gather(*(busy_api.post(UPLOAD, json=twin) for _ in range(10)))
    assert sorted(response.status for response in responses) == [200] * 9 + [202]
    assert len({(await response.json())["job_id"] for response in responses}) == 1


async def test_a_key_in_header_and_body_must_agree(busy_api: Client) -> None:
    body = submission(HELLO, idempotency_key="agreed")
    response = await busy_api.post(UPLOAD, json=body, headers={"Idempotency-Key": "k2"})
    assert (await refused_fields(response)).keys() == {"idempotency_key"}
    same = await busy_api.post(UPLOAD, json=body, headers={"Idempotency-Key": "agreed"})
    assert same.status == 202


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
async def test_a_header_key_obeys_the_rules_of_the_field(busy_api: Client, key: str) -> None:
    response = await busy_api.post(UPLOAD, json=submission(HELLO), headers={"Idempotency-Key": key})
    assert (await refused_fields(response)).keys() == {"idempotency_key"}


@pytest.mark.parametrize("body", [*MALFORMED.values()], ids=[*MALFORMED])
async def test_malformed_json_is_400(shared_api: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    await problem(await shared_api.post(UPLOAD, data=body, headers=headers), 400)
    assert not await job_ids(shared_api)


@pytest.mark.parametrize("body", [*MISSHAPEN.values()], ids=[*MISSHAPEN])
async def test_json_of_another_shape_is_422(shared_api: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    await refused_fields(await shared_api.post(UPLOAD, data=body, headers=headers))
    assert not await job_ids(shared_api)


async def test_wrong_types_are_422_under_their_field(shared_api: Client) -> None:
    for field, values in WRONG_TYPES.items():
        for value in values:
            response = await shared_api.post(UPLOAD, json=submission(HELLO, **{field: value}))
            (name,) = await refused_fields(response)
            assert name.partition(".")[0] == field
    assert not await job_ids(shared_api)


async def test_all_invalid_fields_are_reported_together(shared_api: Client) -> None:
    wrong = {
        "script_name": "../a",
        "script_content": "%",
        "model_name": "a/b",
        "timeout": 1,
        "environment_vars": {"PATH": "/"},
        "tags": {"mlflow.user": "x"},
    }
    errors = await refused_fields(await shared_api.post(UPLOAD, json=submission(HELLO, **wrong)))
    assert errors.keys() == {
        "script_name",
        "script_content",
        "model_name",
        "timeout",
        "environment_vars.PATH",
        "tags.mlflow.user",
    }


async def test_an_unknown_field_is_422(shared_api: Client) -> None:
    response = await shared_api.post(UPLOAD, json=submission(HELLO, colour="red"))
    assert await refused_fields(response) == {"colour": ["Unknown field."]}


async def test_many_invalid_fields_give_a_bounded_response(shared_api: Client) -> None:
    names = {f"ASGARD_{'X' * 1000}_{n}": "x" for n in range(60)}
    response = await shared_api.post(UPLOAD, json=submission(HELLO, environment_vars=names))
    await refused_fields(response)
    assert len(await response.read()) < 20_000


@pytest.mark.parametrize(
    "script",
    ["def broken(:\n", "x = 1\n  y = 2\n", "'" + "\\N{nothing}'", "print('\0')", "(" * 5000],
    ids=["syntax", "indentation", "escape", "NUL", "deep"],
)
async def test_a_script_that_does_not_compile_is_422(shared_api: Client, script: str) -> None:
    response = await shared_api.post(UPLOAD, json=submission(script))
    assert (await refused_fields(response)).keys() == {"script_content"}


async def test_a_requirement_that_is_not_a_name_is_422(shared_api: Client) -> None:
    response = await shared_api.post(
        UPLOAD, json=submission(HELLO, requirements=["-r /etc/hostname"])
    )
    assert (await refused_fields(response)).keys() == {"requirements"}


@pytest.mark.service
async def test_a_full_queue_is_429(tmp_path: Path) -> None:
    config = service_config(tmp_path, jobs={"max_concurrent_jobs": 1, "max_queued_jobs": 1})
    async with running(config) as client:
        first = await submit(client, ENDLESS)
        await in_status(client, first["job_id"], "running")
        second = await submit(client)
        response = await client.post(UPLOAD, json=submission(HELLO))
        await problem(response, 429)
        assert int(response.headers["Retry-After"]) > 0
        await cancel(client, second["job_id"])
        assert (await client.post(UPLOAD, json=submission(HELLO))).status == 202


async def test_a_stopping_service_is_503(api: Client) -> None:
    api.app[SUBMITTER].close()
    await problem(await api.post(UPLOAD, json=submission(HELLO)), 503)


@pytest.mark.service
async def test_bounds_come_from_the_configuration(tmp_path: Path) -> None:
    jobs = {"timeout_min": 1, "timeout_max": 9, "timeout_default": 5, "max_script_bytes": 20}
    async with running(service_config(tmp_path, jobs=jobs)) as client:
        accepted = await submit(client, "1", timeout=9)
        assert (await finished(client, accepted["job_id"]))["timeout"] == 9
        too_long = await client.post(UPLOAD, json=submission("1", timeout=10))
        assert (await refused_fields(too_long)).keys() == {"timeout"}
        too_large = await client.post(UPLOAD, json=submission("#" * 21))
        assert (await refused_fields(too_large)).keys() == {"script_content"}


@pytest.mark.service
async def test_a_body_over_the_limit_is_413(tmp_path: Path) -> None:
    async with running(
        service_config(tmp_path, server={"max_body_bytes": 5000}, jobs={"max_script_bytes": 500})
    ) as client:
        large: Document = submission("#" * 4000)
        await problem(await client.post(UPLOAD, json=large), 413)
        assert (await client.post(UPLOAD, json=submission(HELLO))).status == 202


async def test_the_largest_script_fits_the_default_body_limit(busy_api: Client) -> None:
    script = "#" * 1048576
    body = io.BytesIO(json.dumps(submission(script)).encode())
    response = await busy_api.post(UPLOAD, data=body, headers={"Content-Type": "application/json"})
    accepted = await response.json()
    assert response.status == 202, accepted
    got = await busy_api.get(f"{accepted['links']['self']}/script")
    assert await got.text() == script
