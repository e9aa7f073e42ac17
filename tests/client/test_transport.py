"""Addresses, tokens, error responses, and retries."""

import logging
from collections.abc import Iterable

import pytest
from aiohttp import web

from asgard_async.client import (
    AsgardError,
    AsyncAsgardClient,
    ConnectionFailed,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from tests.support.mlflow_servers import serving
from tests.support.service import free_port

SECRET = "asgard-token-that-nobody-may-see"


class Answers:
    """A server that sends these responses in order and records the requests."""

    def __init__(self, answers: Iterable[web.Response]) -> None:
        self._answers = iter(answers)
        self.tokens: list[str | None] = []
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization"))
        self.paths.append(request.raw_path)
        return next(self._answers)


def problem(status: int, kind: str = "x", **headers: str) -> web.Response:
    document = {"type": f"urn:asgard:problem:{kind}", "detail": "No, and why.", "request_id": "r1"}
    return web.json_response(
        document, status=status, headers=headers, content_type="application/problem+json"
    )


def model() -> web.Response:
    time = "2026-01-31T12:00:00Z"
    return web.json_response({"name": "m", "created_at": time, "updated_at": time})


async def test_a_stopped_service_error_says_how_to_start_it() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with AsyncAsgardClient(url, retry_for=0) as client:
        with pytest.raises(ConnectionFailed, match=f"{url}.*asgard serve") as caught:
            await client.status()
        assert not caught.value.sent
        with pytest.raises(ConnectionFailed):
            await client.ready()


async def test_transient_errors_are_retried() -> None:
    answers = Answers([problem(503), problem(429, **{"Retry-After": "0"}), problem(502), model()])
    async with serving(answers.handle) as url, AsyncAsgardClient(url) as client:
        assert (await client.model("m")).name == "m"
    assert len(answers.paths) == 4


async def test_a_long_retry_after_is_reported_at_once() -> None:
    answers = Answers([problem(429, **{"Retry-After": "3600"})])
    async with serving(answers.handle) as url, AsyncAsgardClient(url) as client:
        with pytest.raises(TooManyRequests, match="No, and why") as caught:
            await client.status()
    assert (caught.value.status, caught.value.request_id) == (429, "r1")


async def test_calls_that_may_have_succeeded_are_not_retried() -> None:
    answers = Answers([problem(503), problem(503, "service-draining"), problem(404)])
    async with serving(answers.handle) as url, AsyncAsgardClient(url) as client:
        with pytest.raises(Unavailable):
            await client.register("m", "r")
        # a draining service refuses before it does anything
        with pytest.raises(NotFound):
            await client.retry("3f9c01ab")
    assert len(answers.paths) == 3


async def test_names_are_quoted_in_urls() -> None:
    answers = Answers([model()])
    async with serving(answers.handle) as url, AsyncAsgardClient(f"{url}/below/") as client:
        await client.model("a b?ü#%2f")
    assert answers.paths == ["/below/mlops/models/a%20b%3F%C3%BC%23%252f"]


async def test_the_token_is_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = Answers([model(), problem(401), problem(503), model()])
    async with serving(answers.handle) as url:
        monkeypatch.setenv("ASGARD_URL", url)
        monkeypatch.setenv("ASGARD_TOKEN", f"{SECRET}\n")
        async with AsyncAsgardClient() as client:
            await client.model("m")
            with pytest.raises(Unauthorized) as caught:
                await client.model("m")
            await client.model("m")
            assert SECRET not in repr(client) + repr(caught.value) + str(caught.value)
            assert client.url == url
    assert answers.tokens == [f"Bearer {SECRET}"] * 4
    assert SECRET not in caplog.text


async def test_a_password_in_the_address_is_sent_and_never_shown() -> None:
    answers = Answers([model()])
    async with serving(answers.handle) as url:
        with_password = url.replace("http://", f"http://user:{SECRET}@")
        async with AsyncAsgardClient(with_password, token="") as client:
            await client.model("m")
            assert client.url == url
    assert answers.tokens[0] is not None
    assert answers.tokens[0].startswith("Basic ")


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("ftp://host", ""),
        ("localhost:8000", ""),
        ("http://", ""),
        ("http://user:password@host", SECRET),
        ("http://host", f"{SECRET}\nX-Header: y"),
        ("http://host", f"{SECRET} ü"),
    ],
)
def test_invalid_urls_and_tokens_are_rejected(url: str, token: str) -> None:
    with pytest.raises(ValueError, match=r"URL|token") as caught:
        AsyncAsgardClient(url, token=token)
    assert SECRET not in str(caught.value)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (web.Response(text="<html>"), "cannot read"),
        (web.json_response({"name": 5}), "cannot read"),
        (web.Response(status=302, headers={"Location": "https://elsewhere"}), "elsewhere; use"),
        (web.Response(status=500, text="oh"), "HTTP 500"),
        (web.Response(status=404, content_type="application/problem+json"), "HTTP 404"),
    ],
)
async def test_responses_from_other_servers_are_errors(answer: web.Response, message: str) -> None:
    async with serving(Answers([answer]).handle) as url, AsyncAsgardClient(url) as client:
        with pytest.raises(AsgardError, match=message):
            await client.model("m")


async def test_readiness_includes_its_reasons() -> None:
    starting = web.json_response(
        {"detail": "…", "reasons": ["The service is starting."]},
        status=503,
        content_type="application/problem+json",
    )
    answers = Answers([starting, web.json_response({"status": "ready"})])
    async with serving(answers.handle) as url, AsyncAsgardClient(url) as client:
        first, then = await client.ready(), await client.ready()
    assert (bool(first), first.reasons) == (False, ("The service is starting.",))
    assert then


async def test_the_status_of_a_real_service_is_parsed(client: AsyncAsgardClient) -> None:
    status = await client.status()
    assert status.asgard_api == "accessible"
    assert status.timestamp.tzinfo is not None
    assert not status.mlflow_available
    assert await client.ready()
