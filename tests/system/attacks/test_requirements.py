"""Attacks through the requirements of a job: they are evaluated outside of any sandbox."""

import asyncio
import io
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.store.conftest import accept
from tests.support.api_service import (
    finished,
    get_json,
    refused_fields,
    running,
    service_config,
    store_of,
    submit,
)
from tests.support.app_server import Client
from tests.support.service import submission

pytestmark = pytest.mark.service

UPLOAD = "/mlops/training/upload"
UNDEFINED = "numpy; os_name ~= 'x'"
"""Its marker can be parsed, but has no value."""


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    config = service_config(tmp_path / "data", jobs={"max_concurrent_jobs": 1})
    async with running(config) as client:
        yield client


async def test_undefined_markers_do_not_block_the_queue(client: Client) -> None:
    response = await client.post(UPLOAD, json=submission("pass", requirements=[UNDEFINED]))
    assert "cannot be evaluated" in (await refused_fields(response))["requirements"][0]
    # accepted by an earlier version
    blocking = await accept(store_of(client), requirements=(UNDEFINED,))
    job = await submit(client)
    assert (await finished(client, job["job_id"]))["status"] == "completed"
    job = await finished(client, blocking.job_id)
    assert (job["status"], job["reason"]) == ("failed", "environment_failed")
    assert job["error"]


async def test_many_extras_do_not_block_the_database(client: Client) -> None:
    extras = ",".join(f"q{number:02}" for number in range(100))
    job = await submit(client, requirements=[f"mlflow[{extras}]"] * 1000)
    start = time.monotonic()
    await submit(client)
    assert time.monotonic() - start < 10
    assert (await finished(client, job["job_id"]))["status"] == "completed"


async def test_a_huge_requirements_file_holds_nobody_up(client: Client) -> None:
    form = aiohttp.FormData()
    for name in ("experiment_name", "model_name"):
        form.add_field(name, "x")
    form.add_field("script", b"pass", filename="x.py")
    form.add_field("requirements", io.BytesIO(b"a\n" * (1 << 20)), filename="requirements.txt")
    upload = asyncio.create_task(client.post(UPLOAD, data=form))
    longest = 0.0
    while not upload.done():
        start = time.monotonic()
        assert (await client.get("/health/live")).status == 200
        longest = max(longest, time.monotonic() - start)
    assert "requirements" in await refused_fields(await upload)
    assert longest < 2


async def test_lists_of_large_jobs_take_bounded_memory(client: Client) -> None:
    requirements = tuple(f"x==1.{number}{'0' * 480}" for number in range(1000))
    accepted = [
        (await accept(store_of(client), requirements=requirements)).job_id for _ in range(60)
    ]
    listed: list[str] = []
    query = {"limit": "500"}
    tracemalloc.start()
    try:
        while True:
            page = await get_json(client, "/mlops/training/jobs", **query)
            listed += [job["job_id"] for job in page["jobs"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert listed == accepted[::-1]
