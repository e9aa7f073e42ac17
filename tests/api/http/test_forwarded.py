"""X-Forwarded-* headers count only if a trusted proxy sends them."""

import json
from pathlib import Path

import pytest

from tests.support.api_service import problem, running, service_config
from tests.support.service import submission

pytestmark = pytest.mark.service

JOB = "/mlops/training/jobs/0123abcd"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "remote"),
    [
        ([], "192.0.2.7", "127.0.0.1"),
        (["10.0.0.0/8"], "192.0.2.7", "127.0.0.1"),
        (["127.0.0.1"], "192.0.2.7", "192.0.2.7"),
        (["127.0.0.0/8"], "6.6.6.6, 192.0.2.7", "192.0.2.7"),
        (["127.0.0.1", "10.1.0.0/16"], "6.6.6.6, 192.0.2.7, 10.1.2.3", "192.0.2.7"),
        (["127.0.0.1"], "2001:db8::1", "2001:db8::1"),
        (["127.0.0.1"], "nonsense", "127.0.0.1"),
        (["127.0.0.1"], "", "127.0.0.1"),
    ],
)
async def test_the_client_address_comes_from_trusted_proxies(
    tmp_path: Path, proxies: list[str], forwarded: str, remote: str
) -> None:
    config = service_config(tmp_path, server={"trusted_proxies": proxies})
    async with running(config) as client:
        headers = {"X-Forwarded-For": forwarded}
        await problem(await client.delete(JOB, headers=headers), 404)
    line = (tmp_path / "audit.log").read_text().splitlines()[0]
    assert json.loads(line)["remote"] == remote


async def test_a_forwarded_host_must_be_accepted(tmp_path: Path) -> None:
    config = service_config(tmp_path, server={"trusted_proxies": ["127.0.0.1"]})
    async with running(config) as client:
        foreign = {"X-Forwarded-Host": "evil.example"}
        await problem(await client.get("/mlops/status", headers=foreign), 403)
        accepted = {"X-Forwarded-Host": "localhost", "X-Request-ID": "kept"}
        response = await client.get("/mlops/status", headers=accepted)
        assert (response.status, response.headers["X-Request-ID"]) == (200, "kept")


@pytest.mark.parametrize(
    ("proxies", "sent", "prefix"),
    [
        (["127.0.0.1"], "/asgard", "/asgard"),
        (["127.0.0.1"], "/ml/asgard/", "/ml/asgard"),
        (["127.0.0.1"], "/forged, /asgard", "/asgard"),
        ([], "/asgard", ""),
        (["127.0.0.1"], "//evil.example", ""),
        (["127.0.0.1"], "https://evil.example", ""),
        (["127.0.0.1"], '/a"b', ""),
        (["127.0.0.1"], "/" + "a" * 3000, ""),
    ],
)
async def test_links_contain_the_prefix_that_a_proxy_strips(
    tmp_path: Path, proxies: list[str], sent: str, prefix: str
) -> None:
    config = service_config(tmp_path, server={"trusted_proxies": proxies})
    async with running(config) as client:
        headers = {"X-Forwarded-Prefix": sent}
        upload = await client.post(
            "/mlops/training/upload", json=submission("print(1)"), headers=headers
        )
        job = await upload.json()
        path = f"/mlops/training/jobs/{job['job_id']}"
        assert upload.headers["Location"] == prefix + path
        listed = await (await client.get("/mlops/training/jobs", headers=headers)).json()
        for links in (job["links"], listed["jobs"][0]["links"]):
            assert links["self"] == prefix + path
            assert links["stream"] == f"{prefix}{path}/logs/ws"
        document = await (await client.get("/openapi.json", headers=headers)).json()
        assert document.get("servers") == ([{"url": prefix}] if prefix else None)
        # on the same connection, without a proxy's header
        plain = await (await client.get(path)).json()
        assert plain["links"]["self"] == path
        assert "servers" not in await (await client.get("/openapi.json")).json()
