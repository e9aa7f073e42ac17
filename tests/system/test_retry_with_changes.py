"""A retry with changes: the difference applies, is checked, and stays with the new job."""

import base64
import json
from typing import Any

import pytest

from asgard_async.client import AsgardError, AsyncAsgardClient, InvalidRequest
from tests.support.archives import zip_of
from tests.support.preloaded_command import asgard
from tests.support.service import Service
from tests.support.upload_forms import form

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

PRINTS = """
import json, os, sys
print(json.dumps([sys.argv[1:], {name: os.environ.get(name) for name in "ABC"}]))
"""


async def original(service: Service, **fields: Any) -> str:
    given = {"environment_vars": {"A": "1", "B": "2"}, "args": ["--old"], "tags": {"x": "y"}}
    return await service.submit(PRINTS, **(given | fields))


async def retried(service: Service, job_id: str, **changes: Any) -> dict[str, Any]:
    status, job = await service.post(f"/mlops/training/jobs/{job_id}/retry", json=changes)
    assert status == 202, job
    return await service.finished(job["job_id"])


async def test_objects_are_merged_and_the_rest_is_replaced(shared: Service) -> None:
    job_id = await original(shared, timeout=100, priority=3)
    job = await retried(
        shared,
        job_id,
        environment_vars={"A": "9", "B": None, "C": "3"},
        args=["--new", "1"],
        params={"lr": 0.5},
        tags={"x": None},
        timeout=None,
    )
    assert json.loads(job["logs"]) == [
        ["--new", "1", "--lr=0.5"],
        {"A": "9", "B": None, "C": "3"},
    ]
    assert (job["tags"], job["timeout"], job["priority"]) == ({}, 300, 3)
    assert (job["retry_of"], job["args"]) == (job_id, ["--new", "1"])
    detail = job["history"][0]["detail"]
    assert detail == (
        f"differs from job {job_id} in environment_vars.A, environment_vars.B, environment_vars.C,"
        " args, params.lr, timeout, tags.x"
    )


async def test_a_retry_of_the_retry_keeps_the_changes(shared: Service) -> None:
    first = await retried(shared, await original(shared), environment_vars={"A": "9"})
    second = await retried(shared, first["job_id"])
    assert json.loads(second["logs"])[1]["A"] == "9"
    assert second["history"][0]["detail"] is None


async def test_the_script_can_be_changed(shared: Service) -> None:
    job_id = await original(shared)
    content = base64.b64encode(b"print('changed')").decode()
    job = await retried(shared, job_id, script_content=content)
    assert job["logs"] == "changed\n"
    assert job["history"][0]["detail"] == f"differs from job {job_id} in script"


async def test_another_file_of_an_archive_can_be_run(shared: Service) -> None:
    archive = ("a.zip", zip_of({"a.py": "print('a')", "b.py": "print('b')"}))
    body = form(archive=archive, entrypoint="a.py")
    async with shared.session.post(f"{shared.url}/mlops/training/upload", data=body) as response:
        job_id = (await response.json())["job_id"]
    job = await retried(shared, job_id, entrypoint="b.py")
    assert job["logs"] == "b\n"
    status, problem = await shared.post(
        f"/mlops/training/jobs/{job_id}/retry", json={"entrypoint": "c.py"}
    )
    assert (status, list(problem["errors"])) == (422, ["entrypoint"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"nothing": 1}, "nothing"),
        ({"script_sha256": "0" * 64}, "script_sha256"),
        ({"timeout": 10**6}, "timeout"),
        ({"timeout": "60"}, "timeout"),
        ({"environment_vars": {"PATH": "x"}}, "environment_vars.PATH"),
        ({"environment_vars": ["A"]}, "environment_vars"),
        ({"requirements": ["-e ."]}, "requirements"),
        ({"experiment_name": None}, "experiment_name"),
        ({"script_content": "cHJpbnQo"}, "script_content"),
        ({"entrypoint": "a.py"}, "entrypoint"),
    ],
)
async def test_other_changes_are_refused(
    shared: Service, changes: dict[str, Any], field: str
) -> None:
    job_id = await original(shared)
    status, problem = await shared.post(f"/mlops/training/jobs/{job_id}/retry", json=changes)
    assert (status, list(problem["errors"])) == (422, [field])


async def test_a_body_that_is_not_json_is_refused(shared: Service) -> None:
    path = f"/mlops/training/jobs/{await original(shared)}/retry"
    assert (await shared.post(path, data=b"A=1"))[0] == 415
    headers = {"Content-Type": "application/json"}
    assert (await shared.post(path, data=b"{", headers=headers))[0] == 400
    assert (await shared.post(path, data=b"", headers=headers))[0] == 202
    assert (await shared.post(path, data=b"{}", headers=headers))[0] == 202


async def test_a_key_retries_only_once(shared: Service) -> None:
    async with AsyncAsgardClient(shared.url) as client:
        job_id = await original(shared)
        first = await client.retry(job_id, idempotency_key=f"once-{job_id}", args=["1"])
        again = await client.retry(job_id, idempotency_key=f"once-{job_id}", args=["1"])
        assert first.job_id == again.job_id
        with pytest.raises(AsgardError, match="idempotency key was used"):
            await client.retry(job_id, idempotency_key=f"once-{job_id}", args=["2"])


async def test_the_client_passes_the_arguments_of_submit(shared: Service) -> None:
    async with AsyncAsgardClient(shared.url) as client:
        job_id = await original(shared)
        job = await client.wait(
            await client.retry(
                job_id, environment_vars={"A": None}, memory_mb=4096, params={"n": 1}, warm=False
            )
        )
        assert (job.limits.memory_mb, job.params, job.warm) == (4096, {"n": 1}, False)
        with pytest.raises(InvalidRequest, match="priority"):
            await client.retry(job_id, priority=1000)
        with pytest.raises(TypeError, match="cannot change script"):
            await client.retry(job_id, script="x")  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="must be a list"):
            await client.retry(job_id, args="--lr")


async def test_the_command_has_the_options_of_asgard_run(shared: Service) -> None:
    job_id = await original(shared)
    done = asgard("retry", job_id, "--env", "A=80", "--", "--lr", "0.1", ASGARD_URL=shared.url)
    assert done.returncode == 0, done.stderr
    job = await shared.finished(done.stdout.strip())
    assert json.loads(job["logs"]) == [["--lr", "0.1"], {"A": "80", "B": "2", "C": None}]
    refused = asgard("retry", job_id, "--timeout", "1000000", ASGARD_URL=shared.url)
    assert refused.returncode == 1
    assert "timeout: " in refused.stderr
