"""Cross-site requests are rejected, whether tokens are required or not."""

from pathlib import Path

import pytest

from tests.support.api_service import problem, running, service_config, store_of
from tests.support.app_server import Client
from tests.support.service import submission

UPLOAD = "/mlops/training/upload"
OURS = ["127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:8000", "10.1.2.3:80", "localhost."]
FOREIGN = ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "evil@localhost:x", "a b"]


@pytest.mark.parametrize("host", OURS)
async def test_loopback_hosts_are_accepted(shared_api: Client, host: str) -> None:
    assert (await shared_api.get("/mlops/status", headers={"Host": host})).status == 200


@pytest.mark.parametrize("host", FOREIGN)
async def test_other_hosts_are_rejected(shared_api: Client, host: str) -> None:
    headers = {"Host": host}
    document = await problem(await shared_api.get("/mlops/training/jobs", headers=headers), 403)
    assert "allowed_hosts" in document["detail"]
    await problem(await shared_api.post(UPLOAD, json=submission("print()"), headers=headers), 403)
    assert sum((await store_of(shared_api).counts()).values()) == 0
    # load balancers and probes may use any Host
    assert (await shared_api.get("/health/live", headers=headers)).status == 200


@pytest.mark.service
async def test_configured_host_names_are_accepted(tmp_path: Path) -> None:
    config = service_config(tmp_path, server={"allowed_hosts": ["Train.example.org"]})
    async with running(config) as client:
        headers = {"Host": "train.EXAMPLE.org:443"}
        assert (await client.get("/mlops/status", headers=headers)).status == 200


CROSS = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[broken"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", CROSS, ids=str)
async def test_a_cross_origin_page_cannot_change_anything(
    shared_api: Client, headers: dict[str, str]
) -> None:
    job = "/mlops/training/jobs/0123abcd"
    for verb, path in (
        ("POST", UPLOAD),
        ("POST", f"{job}/cancel"),
        ("POST", f"{job}/retry"),
        ("DELETE", job),
        ("POST", "/mlops/registry"),
    ):
        response = await shared_api.request(verb, path, json=submission("print()"), headers=headers)
        await problem(response, 403)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", **headers}
    await problem(await shared_api.get(f"{job}/logs/ws", headers=upgrade), 403)
    assert sum((await store_of(shared_api).counts()).values()) == 0
    assert (await shared_api.get("/mlops/status", headers=headers)).status == 200


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}], ids=str)
async def test_a_same_origin_page_may_change_things(
    busy_api: Client, headers: dict[str, str]
) -> None:
    own = {"Origin": str(busy_api.make_url("/")).rstrip("/"), **headers}
    assert (await busy_api.post(UPLOAD, json=submission("print()"), headers=own)).status == 202


@pytest.mark.parametrize("path", ["cancel", "retry"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""]
)
async def test_a_body_type_that_needs_no_preflight_is_415(
    shared_api: Client, path: str, content_type: str
) -> None:
    response = await shared_api.post(
        f"/mlops/training/jobs/0123abcd/{path}",
        data=b"{}",
        headers={"Content-Type": content_type},
    )
    await problem(response, 415)


async def test_an_empty_body_needs_no_content_type(shared_api: Client) -> None:
    await problem(await shared_api.post("/mlops/training/jobs/0123abcd/cancel"), 404)
