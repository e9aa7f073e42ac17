"""Clients of the shared service."""

from collections.abc import AsyncIterator

import pytest_asyncio

from asgard_async.client import AsyncAsgardClient
from tests.support.service import Service


@pytest_asyncio.fixture(loop_scope="session")
async def client(shared: Service) -> AsyncIterator[AsyncAsgardClient]:
    async with AsyncAsgardClient(shared.url) as client:
        yield client
