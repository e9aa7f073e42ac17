"""Fixtures for the HTTP API."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.support.api_service import running, service_config
from tests.support.app_server import Client
from tests.support.mlflow_servers import MlflowServer
from tests.support.mlflow_user import MlflowUser


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that runs its jobs."""
    async with running(service_config(tmp_path)) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """One service for the tests of a module, none of which stops it or disturbs the others."""
    async with running(service_config(tmp_path_factory.mktemp("api"))) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def busy_api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A second service like `shared_api`, for tests that run jobs.

    Other tests need a `shared_api` that starts none: their jobs must stay in the queue.
    """
    async with running(service_config(tmp_path_factory.mktemp("busy"))) as client:
        yield client


@pytest.fixture
async def tracked(tmp_path: Path, mlflow_server: MlflowServer) -> AsyncIterator[Client]:
    """A service with a real MLflow."""
    config = service_config(tmp_path, mlflow={"tracking_uri": mlflow_server.uri})
    async with running(config) as client:
        yield client


@pytest.fixture
async def user(mlflow_server: MlflowServer) -> AsyncIterator[MlflowUser]:
    """A user of MLflow's REST API, as scripts are."""
    async with aiohttp.ClientSession() as session:
        yield MlflowUser(mlflow_server.uri, session)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents or not isinstance(item, pytest.Function):
            continue
        names = set(item.fixturenames)
        if names & {"api", "shared_api", "busy_api", "tracked"}:
            item.add_marker(pytest.mark.service)
        if names & {"shared_api", "busy_api"}:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)
