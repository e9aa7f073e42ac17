"""Logs over HTTP: whole, by offset, by lines; byte for byte."""

import os
from pathlib import Path

import pytest

from tests.store.conftest import accept
from tests.support.api_service import log_of, refused_fields, store_of
from tests.support.app_server import Client

TEXT = b"one\ntwo \xff\xfe\nthree\n"
END = len(TEXT)


async def with_log(client: Client, data: bytes) -> str:
    """Create a job with this log and return the path of the log."""
    made = await accept(store_of(client))
    log_of(client, made.job_id).write_bytes(data)
    return f"/mlops/training/jobs/{made.job_id}/logs"


async def read(client: Client, path: str) -> tuple[bytes, int]:
    """Return the bytes of a log, and the offset of the next one."""
    response = await client.get(path)
    assert response.status == 200, await response.text()
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    return await response.read(), int(response.headers["X-Log-Next-Offset"])


@pytest.mark.parametrize(
    ("query", "data", "following"),
    [
        ("", TEXT, END),
        ("?offset=0", TEXT, END),
        ("?offset=4", TEXT[4:], END),
        ("?offset=17", b"", END),
        ("?offset=99", b"", END),
        ("?limit=3", b"one", 3),
        ("?offset=4&limit=3", b"two", 7),
        ("?offset=16&limit=100", b"\n", END),
        ("?offset=99&limit=100", b"", END),
        ("?tail=1", b"three\n", END),
        ("?tail=2", TEXT[4:], END),
        ("?tail=100", TEXT, END),
        ("?tail=0", b"", END),
    ],
)
async def test_parts_of_a_log_can_be_read(
    shared_api: Client, query: str, data: bytes, following: int
) -> None:
    path = await with_log(shared_api, TEXT)
    assert await read(shared_api, path + query) == (data, following)


@pytest.mark.parametrize("query", ["", "?offset=5", "?limit=5", "?tail=5"])
async def test_a_job_without_output_has_an_empty_log(shared_api: Client, query: str) -> None:
    made = await accept(store_of(shared_api))
    path = f"/mlops/training/jobs/{made.job_id}/logs"
    assert await read(shared_api, path + query) == (b"", 0)


async def test_a_large_log_is_read_whole_and_in_steps(shared_api: Client) -> None:
    data = os.urandom(3_000_000)
    path = await with_log(shared_api, data)
    assert await read(shared_api, path) == (data, len(data))
    assert await read(shared_api, f"{path}?limit=4194304") == (data, len(data))
    read_in_steps, offset = b"", 0
    while offset < len(data):
        part, offset = await read(shared_api, f"{path}?offset={offset}&limit=700001")
        read_in_steps += part
    assert read_in_steps == data


async def test_a_hole_is_marked_unless_reading_by_offset(shared_api: Client) -> None:
    path = await with_log(shared_api, b"a" * 1000 + b"\0" * 8000 + b"z" * 1000)
    job_id = path.split("/")[-2]
    Path(f"{log_of(shared_api, job_id)}.hole").write_text("1000 9000")
    whole, following = await read(shared_api, path)
    assert whole.startswith(b"a" * 1000 + b"\n[asgard: 8000 bytes")
    assert whole.endswith(b"\nz" + b"z" * 999)
    assert following == 10_000
    assert await read(shared_api, f"{path}?offset=500") == (b"a" * 500 + b"z" * 1000, 10_000)
    assert await read(shared_api, f"{path}?offset=500&limit=2000") == (b"a" * 500, 1000)
    assert await read(shared_api, f"{path}?offset=1000&limit=10") == (b"z" * 10, 9010)
    assert await read(shared_api, f"{path}?offset=4000") == (b"z" * 1000, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("offset=", "offset"),
        (f"offset={'9' * 5000}", "offset"),
        ("limit=0", "limit"),
        ("limit=5000000", "limit"),
        ("tail=-1", "tail"),
        ("tail=1e3", "tail"),
        ("tail=1&offset=5", "tail"),
        ("tail=1&tail=2", "tail"),
        ("lines=5", "lines"),
    ],
)
async def test_an_invalid_query_is_422(shared_api: Client, query: str, field: str) -> None:
    path = await with_log(shared_api, TEXT)
    assert (await refused_fields(await shared_api.get(f"{path}?{query}"))).keys() == {field}


async def test_a_large_log_is_streamed_in_bounded_memory(shared_api: Client) -> None:
    path = await with_log(shared_api, b"x" * 80_000_000)
    job_id = path.split("/")[-2]
    before = most = _resident_bytes()
    for address in (path, f"{path}?offset=1", f"/mlops/training/jobs/{job_id}?logs=full"):
        response = await shared_api.get(address)
        async for _ in response.content.iter_chunked(1 << 20):
            most = max(most, _resident_bytes())
    assert most - before < 40_000_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
