"""One client cannot use up the connections of others, or those of /health."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import WSServerHandshakeError

from asgard_async.auth.token import Scope
from asgard_async.core.timestamps import now
from tests.store.conftest import accept
from tests.support.api_service import bearer, problem, running, service_config, store_of
from tests.support.app_server import Client

JOBS = "/mlops/training/jobs"

pytestmark = pytest.mark.service


async def open_streams(
    client: Client, stack: AsyncExitStack, number: int, headers: Mapping[str, str] = {}
) -> str:
    """Follow a queued job with several WebSockets; return their path."""
    job = await accept(store_of(client))
    path = f"{JOBS}/{job.job_id}/logs/ws"
    for _ in range(number):
        await stack.enter_async_context(client.ws_connect(path, headers=headers))
    return path


async def refused(client: Client, path: str, headers: Mapping[str, str] = {}) -> bool:
    try:
        async with client.ws_connect(path, headers=headers):
            return False
    except WSServerHandshakeError as error:
        return error.status == 429


async def test_a_token_has_a_bounded_number_of_streams(tmp_path: Path) -> None:
    config = service_config(tmp_path, http={"max_streams_per_client": 3})
    async with running(config) as client, AsyncExitStack() as stack:
        eve = bearer(client, Scope.READ)
        ada = bearer(client, Scope.SUBMIT)
        path = await open_streams(client, stack, 3, eve)
        assert await refused(client, path, eve)
        followed = await client.get(
            path.removesuffix("/ws"), params={"follow": "true"}, headers=eve
        )
        document = await problem(followed, 429)
        assert document["type"] == "urn:asgard:problem:too-many-requests"
        assert (await client.get("/mlops/status", headers=eve)).status == 200
        assert not await refused(client, path, ada)
        await stack.aclose()
        (tmp_path / "tokens.json").unlink()
        for job in await store_of(client).unfinished():
            await store_of(client).request_cancel(job.job_id, at=now())


async def test_without_tokens_an_address_is_bounded(tmp_path: Path) -> None:
    config = service_config(
        tmp_path, http={"max_requests_per_client": 3, "max_streams_per_client": 9}
    )
    async with running(config) as client, AsyncExitStack() as stack:
        path = await open_streams(client, stack, 3)
        assert await refused(client, path)
        await problem(await client.get(JOBS), 429)
        assert (await client.get("/health/live")).status == 200
        await stack.aclose()


async def test_connections_are_reserved_for_health(tmp_path: Path) -> None:
    config = service_config(tmp_path, http={"max_connections": 5, "max_connections_per_address": 5})
    async with running(config) as client, AsyncExitStack() as stack:
        path = await open_streams(client, stack, 4)
        assert await refused(client, path)
        assert (await client.get("/health/live")).status == 200
        await stack.aclose()
