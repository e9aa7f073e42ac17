"""Clients of the shared service."""

from collections.abc import AsyncIterator
from typing import TypedDict

import pytest_asyncio

from asgard_async.client import AsyncAsgardClient
from tests.support.service import Service


class Names(TypedDict):
    experiment_name: str
    model_name: str


NAMES: Names = {"experiment_name": "e", "model_name": "m"}
"""Required names of every submission, with arbitrary values."""


@pytest_asyncio.fixture(loop_scope="session")
async def client(shared: Service) -> AsyncIterator[AsyncAsgardClient]:
    async with AsyncAsgardClient(shared.url) as client:
        yield client
