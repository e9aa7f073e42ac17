"""JSON bodies: bounded in size and time, and decoded without risk."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from hypothesis import given
from hypothesis import strategies as st

from asgard_async.api.errors import InvalidRequest, MalformedBody
from asgard_async.api.http.bodies import IncomingBodies
from asgard_async.api.http.json_body import MAX_COMPOUND_BYTES, decode_object, read_json_object
from asgard_async.domain.errors import AsgardError
from tests.support.app_server import Client, edge, serving

LIMIT = 100_000
FIELDS = frozenset({"a", "b", "c"})


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        await read_json_object(request, FIELDS, bodies=bodies(), max_bytes=LIMIT, seconds=60)
    )


async def impatient(request: web.Request) -> web.Response:
    return web.json_response(
        await read_json_object(request, FIELDS, bodies=bodies(), max_bytes=LIMIT, seconds=0.01)
    )


def bodies() -> IncomingBodies:
    return IncomingBodies(total_bytes=LIMIT, min_rate=1)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with serving(edge(web.post("/", echo), web.post("/impatient", impatient))) as client:
        yield client


MALFORMED = {
    "nothing": b"",
    "truncated": b'{"a": 1',
    "trailing": b'{"a": 1} x',
    "a word": b"hello",
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a wrong byte in a name": b'{"\xff": 1}',
    "a wrong byte in a text": b'{"a": "\xff"}',
    "a lone surrogate in a text": b'{"a": "\\ud800"}',
    "a lone surrogate in a name": b'{"\\udc00": 1}',
    "a lone surrogate within": b'{"a": {"b": "\\ud800"}}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "deep lists": b'{"a": ' + b"[" * 40_000 + b"]" * 40_000 + b"}",
    "deep objects": b'{"a":' * 15_000 + b"1" + b"}" * 15_000,
    "deep lists at the top": b"[" * 90_000,
}
MISSHAPEN = {
    "a list": b"[1]",
    "null": b"null",
    "a text": b'"a"',
    "a number": b"5",
    "an integer of 5 000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a number beyond all floats": b'{"a": 1e999}',
    "nested lists": b'{"a": [[1]]}',
    "nested objects": b'{"a": {"b": {}}}',
    "a field that does not exist": b'{"colour": 1}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_invalid_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode_object(body, FIELDS)


@pytest.mark.parametrize("text", ["\\ud83d", "\\uD83D x", "\\ud83d\\ud83d\\ude00", "\\udE00"])
def test_a_lone_surrogate_is_named_in_the_error(text: str) -> None:
    with pytest.raises(MalformedBody, match=r"lone surrogate .* at byte 7;"):
        decode_object(f'{{"a": "{text}"}}'.encode(), FIELDS)
    assert decode_object(b'{"a": "\\ud83d\\ude00"}', FIELDS) == {"a": "😀"}


@pytest.mark.parametrize("body", MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_json_of_another_shape_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_object(body, FIELDS)


def test_a_malformed_field_is_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_object(b'{"a": [1, "a"], "b": [[]], "c": 1e999}', FIELDS)
    assert refused.value.errors.keys() == {"b", "c"}


@pytest.mark.parametrize("name", ["colour", "", "a`b", "a\nb", "é", "a.b", "A"])
def test_an_unknown_field_is_named(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_object(json.dumps({"a": 1, name: 2}).encode(), FIELDS)
    assert refused.value.errors == {name: ["Unknown field."]}


def test_large_lists_and_objects_are_rejected_undecoded() -> None:
    """Decoded, they take many times the memory of their text."""
    text = "x" * MAX_COMPOUND_BYTES
    document = json.dumps({"a": [text], "b": {"x": text}, "c": text}, indent=3)
    with pytest.raises(InvalidRequest) as refused:
        decode_object(document.encode(), FIELDS)
    assert refused.value.errors.keys() == {"a", "b"}


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
flat = scalars | st.lists(scalars) | st.dictionaries(st.text(), scalars)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), flat))
def test_flat_objects_round_trip(document: dict[str, Any]) -> None:
    assert decode_object(json.dumps(document).encode(), FIELDS) == document


@given(st.binary())
def test_any_bytes_are_decoded_or_rejected(body: bytes) -> None:
    with contextlib.suppress(AsgardError):
        decode_object(body, FIELDS)


async def problem(response: ClientResponse, status: int) -> dict[str, Any]:
    assert response.status == status
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = await response.json(content_type=None)
    return document


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/problem+json",
        "application/json; charset=latin-1",
        "nonsense",
    ],
)
async def test_only_json_in_utf8_is_read(client: Client, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    skip = () if content_type else ("Content-Type",)
    response = await client.post("/", data=b"{}", headers=headers, skip_auto_headers=skip)
    await problem(response, 415)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
async def test_json_in_utf8_is_decoded(client: Client, content_type: str) -> None:
    response = await client.post(
        "/", data=b'{"a": "\xc3\xa9"}', headers={"Content-Type": content_type}
    )
    assert await response.json() == {"a": "é"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-unknown"])
async def test_compressed_bodies_are_rejected_unread(client: Client, encoding: str) -> None:
    bomb = gzip.compress(b"{" + b" " * 10_000_000 + b"}")
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    await problem(await client.post("/", data=bomb, headers=headers), 415)


async def test_an_oversized_content_length_is_rejected_unread(client: Client) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 10000000000\r\n\r\n"
    )
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_a_body_may_reach_the_limit_but_not_exceed_it(client: Client) -> None:
    headers = {"Content-Type": "application/json"}

    async def chunked(size: int) -> AsyncIterator[bytes]:
        yield b'{"a": "'
        yield b"x" * (size - 9)
        yield b'"}'

    assert (await client.post("/", data=chunked(LIMIT), headers=headers)).status == 200
    await problem(await client.post("/", data=chunked(LIMIT + 1), headers=headers), 413)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def test_a_chunked_gigabyte_is_rejected_in_bounded_memory(client: Client) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"100000\r\n" + b"[" * 0x100000 + b"\r\n"
    before = most = resident_bytes()
    answer = asyncio.create_task(reader.readline())
    # a client that keeps sending regardless of the response
    with contextlib.suppress(ConnectionError):
        for _ in range(1024):
            writer.write(chunk)
            await writer.drain()
            most = max(most, resident_bytes())
    assert b" 413 " in await answer
    assert most - before < 30_000_000
    writer.close()


async def test_a_body_that_never_arrives_times_out(client: Client) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        b"POST /impatient HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 10\r\n\r\n{"
    )
    assert b" 408 " in await reader.readline()
    writer.close()


async def test_invalid_chunk_framing_ends_the_request(client: Client) -> None:
    """aiohttp does not notify the reader of the body, so the request ends by its deadline."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        b"POST /impatient HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    # by then the request has started, so it is not rejected as a whole
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"2\r\n{}\r\nxyz\r\n")
    assert (await reader.readline()).split()[1] in {b"400", b"408"}
    writer.close()
