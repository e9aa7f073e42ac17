"""X-Forwarded-* headers count only if a trusted proxy sends them."""

import json
from pathlib import Path

import pytest

from tests.support.api_service import problem, running, service_config

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
