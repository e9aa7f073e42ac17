"""GET …/logs?follow=true: the live log as plain text, as for `curl -N`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientPayloadError, ClientResponse

from asgard_async.jobs.component import FOLLOWERS
from tests.store.conftest import accept
from tests.support.api_service import (
    finished,
    log_of,
    refused_fields,
    store_of,
    submit,
)
from tests.support.app_server import Client
from tests.support.followed_jobs import (
    FLOOD,
    HELD,
    impatient_service,
    let_go,
    reader_disconnected,
)


@asynccontextmanager
async def following(client: Client, job_id: str, query: str = "") -> AsyncIterator[ClientResponse]:
    path = f"/mlops/training/jobs/{job_id}/logs?follow=true{query}"
    async with client.get(path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        yield response


async def test_output_arrives_as_it_is_written(busy_api: Client) -> None:
    job_id = (await submit(busy_api, HELD))["job_id"]
    async with following(busy_api, job_id) as response:
        assert await response.content.readexactly(6) == b"begun\n"
        let_go(busy_api, job_id)
        assert await response.read() == b"gone on\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def printed(busy_api: Client) -> str:
    """The id of a finished job with a log of three lines."""
    script = r"import os; os.write(1, b'one\ntwo \xff\nthree\n')"
    job_id: str = (await submit(busy_api, script))["job_id"]
    await finished(busy_api, job_id)
    return job_id


@pytest.mark.parametrize(
    ("query", "start", "text"),
    [
        ("", 0, b"one\ntwo \xff\nthree\n"),
        ("&offset=4", 4, b"two \xff\nthree\n"),
        ("&offset=99", 16, b""),
        ("&tail=1", 10, b"three\n"),
        ("&tail=0", 16, b""),
    ],
)
async def test_following_starts_at_the_given_offset(
    busy_api: Client, printed: str, query: str, start: int, text: bytes
) -> None:
    async with following(busy_api, printed, query) as response:
        assert response.headers["X-Log-Next-Offset"] == str(start)
        assert response.headers["X-Accel-Buffering"] == "no"  # or nginx delays the output
        assert await response.read() == text


async def test_a_tail_is_followed_by_new_output(shared_api: Client) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    log = log_of(shared_api, job_id)
    log.write_bytes(b"one\ntwo\n")
    async with following(shared_api, job_id, "&tail=1") as response:
        assert await response.content.readexactly(4) == b"two\n"
        with log.open("ab") as file:
            file.write(b"three\n")
        assert await response.content.readexactly(6) == b"three\n"
        await store_of(shared_api).request_cancel(
            job_id, at=(await store_of(shared_api).get(job_id)).created_at
        )
        assert await response.read() == b""


@pytest.mark.parametrize("follow", ["false", "0"])
async def test_following_can_be_turned_off(shared_api: Client, follow: str) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    response = await shared_api.get(f"/mlops/training/jobs/{job_id}/logs?follow={follow}")
    assert await response.read() == b""


@pytest.mark.parametrize(
    ("query", "field"), [("follow=yes", "follow"), ("follow=true&limit=5", "limit")]
)
async def test_an_invalid_query_is_422(shared_api: Client, query: str, field: str) -> None:
    job_id = (await accept(store_of(shared_api))).job_id
    response = await shared_api.get(f"/mlops/training/jobs/{job_id}/logs?{query}")
    assert (await refused_fields(response)).keys() == {field}


async def test_a_hole_is_marked_unless_reading_by_offset(busy_api: Client) -> None:
    job_id = (await submit(busy_api, "pass"))["job_id"]
    await finished(busy_api, job_id)
    log = log_of(busy_api, job_id)
    log.write_bytes(b"a" * 1000 + b"\0" * 8000 + b"z" * 1000)
    Path(f"{log}.hole").write_text("1000 9000")
    async with following(busy_api, job_id) as response:
        text = await response.read()
    assert text == (b"a" * 1000 + b"\n[asgard: 8000 bytes of output are not kept]\n" + b"z" * 1000)
    async with following(busy_api, job_id, "&offset=0") as response:
        assert await response.read() == b"a" * 1000 + b"z" * 1000


async def test_a_failed_stream_differs_from_a_complete_log(api: Client) -> None:
    job_id = (await accept(store_of(api))).job_id
    log_of(api, job_id).write_bytes(b"one\n")
    async with following(api, job_id) as response:
        assert await response.content.readexactly(4) == b"one\n"
        api.app[FOLLOWERS].close()  # as when the service stops
        with pytest.raises(ClientPayloadError):
            await response.read()


@pytest.mark.service
async def test_a_stalled_reader_is_disconnected(tmp_path: Path) -> None:
    async with impatient_service(tmp_path) as client:
        job_id = (await submit(client, FLOOD))["job_id"]
        async with following(client, job_id):  # read nothing
            await reader_disconnected(client)
