"""Fixtures for tests that use MLflow."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.gateway import MlflowGateway
from tests.support.ended_jobs import Script
from tests.support.mlflow_servers import MlflowServer, Relay, relaying
from tests.support.mlflow_user import MlflowUser


@pytest.fixture
async def gateway(mlflow_server: MlflowServer) -> AsyncIterator[MlflowGateway]:
    address = MlflowAddress.parse(mlflow_server.uri)
    async with MlflowGateway(address, timeout_seconds=30) as gateway:
        yield gateway


@pytest.fixture
async def relay(mlflow_server: MlflowServer) -> AsyncIterator[Relay]:
    """A relay in front of MLflow that counts requests and fails on demand."""
    async with relaying(mlflow_server.uri) as relay:
        yield relay


@pytest.fixture
async def relayed(relay: Relay) -> AsyncIterator[MlflowGateway]:
    """A gateway that connects through the relay."""
    async with MlflowGateway(MlflowAddress.parse(relay.uri), timeout_seconds=30) as gateway:
        yield gateway


@pytest.fixture
async def user(mlflow_server: MlflowServer) -> AsyncIterator[MlflowUser]:
    """A user who works with MLflow over REST, as scripts do."""
    async with aiohttp.ClientSession() as session:
        yield MlflowUser(mlflow_server.uri, session)


@pytest.fixture
async def script(user: MlflowUser) -> Script:
    """The script of one job, in its own experiment."""
    return Script(user, await user.experiment())
