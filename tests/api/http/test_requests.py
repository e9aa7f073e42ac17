"""Request ids, and the headers that every response has."""

import re

import pytest
from aiohttp import web

from tests.store.conftest import accept
from tests.support.api_service import store_of
from tests.support.app_server import Client, edge, serving


async def test_every_kind_of_response_has_its_own_id(api: Client) -> None:
    made = await accept(store_of(api))
    path = f"/mlops/training/jobs/{made.job_id}"
    seen = set()
    for method, address in [
        ("GET", path),
        ("GET", f"{path}/logs"),
        ("GET", f"{path}/logs?tail=1"),
        ("GET", f"{path}?logs=full"),
        ("GET", f"{path}/script"),
        ("HEAD", f"{path}/script"),
        ("DELETE", path),
        ("GET", "/nowhere"),
        ("PUT", path),
        ("POST", "/mlops/training/upload"),
        ("GET", "/mlops/models"),
        ("GET", "/metrics"),
        ("GET", "/health/live"),
    ]:
        response = await api.request(method, address)
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-ID"])
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        seen.add(response.headers["X-Request-ID"])
    assert len(seen) == 13


@pytest.mark.parametrize("request_id", ["a", "A-b_c.9", "x" * 128])
async def test_a_valid_request_id_is_kept(request_id: str) -> None:
    async with serving(edge()) as client:
        response = await client.get("/", headers={"X-Request-ID": request_id})
        assert response.headers["X-Request-ID"] == request_id
        assert (await response.json(content_type=None))["request_id"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", "a/b", "é", "<b>", "a;b"])
async def test_an_invalid_request_id_is_replaced(request_id: str) -> None:
    async with serving(edge()) as client:
        response = await client.get("/", headers={"X-Request-ID": request_id})
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-ID"])


async def test_a_stream_has_a_request_id() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        return response

    async with serving(edge(web.get("/", stream))) as client:
        response = await client.get("/", headers={"X-Request-ID": "mine"})
        assert response.headers["X-Request-ID"] == "mine"
