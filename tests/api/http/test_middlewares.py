"""Exceptions of handlers become problem documents without internals."""

import asyncio
import logging

import pytest
from aiohttp import ClientPayloadError, web

from asgard_async.domain.errors import JobNotFound
from tests.support.api_service import problem
from tests.support.app_server import edge, serving


def raising(error: BaseException) -> web.Application:
    async def fail(request: web.Request) -> web.Response:
        raise error

    return edge(web.get("/", fail))


async def test_an_unexpected_error_is_a_bland_500_logged_in_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(raising(RuntimeError("/srv/secret/path"))) as client:
        response = await client.get("/", headers={"X-Request-ID": "find-me"})
        document = await problem(response, 500)
    assert "secret" not in str(document)
    assert "RuntimeError" not in str(document)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "find-me" in record.getMessage()
    assert record.exc_info


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("db"),
        TimeoutError(),
        KeyError("x"),
        ExceptionGroup("g", [ValueError()]),
    ],
)
async def test_errors_resembling_connection_errors_are_500(error: Exception) -> None:
    async with serving(raising(error)) as client:
        await problem(await client.get("/"), 500)


async def test_a_domain_error_has_its_own_status() -> None:
    async with serving(raising(JobNotFound("00000000"))) as client:
        document = await problem(await client.get("/"), 404)
        assert "00000000" in document["detail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (web.HTTPRequestEntityTooLarge(1), 413),
        (web.HTTPForbidden(), 403),
        (web.HTTPGone(text="<p>html</p>"), 410),
    ],
)
async def test_aiohttps_own_errors_are_problems(error: web.HTTPException, status: int) -> None:
    async with serving(raising(error)) as client:
        document = await problem(await client.get("/"), status)
        assert "html" not in str(document)


async def test_unknown_paths_are_404_and_wrong_methods_405() -> None:
    async def nothing(request: web.Request) -> web.Response:
        return web.Response()

    async with serving(edge(web.post("/", nothing))) as client:
        await problem(await client.get("/nowhere"), 404)
        response = await client.get("/")
        await problem(response, 405)
        assert response.headers["Allow"] == "POST"


async def test_redirects_pass_unchanged() -> None:
    async with serving(raising(web.HTTPFound("/elsewhere"))) as client:
        response = await client.get("/", allow_redirects=False)
        assert (response.status, response.headers["Location"]) == (302, "/elsewhere")


async def test_a_failing_stream_is_aborted_not_completed() -> None:
    """With a second response or a clean end, clients would take the body for complete."""

    async def fail(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half of it")
        raise RuntimeError

    async with serving(edge(web.get("/", fail))) as client:
        response = await client.get("/")
        assert await response.content.readany() == b"half of it"
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_a_client_disconnect_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 100_000)
        finally:
            ended.set()

    async with serving(edge(web.get("/", endless))) as client:
        response = await client.get("/")
        await response.content.readany()
        response.close()
        await asyncio.wait_for(ended.wait(), 10)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
