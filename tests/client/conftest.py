"""A running service shared by the tests that do not stop it, and clients for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asgard_async.client import AsyncAsgardClient
from tests.support.service import UNCONFINED, WITHOUT_MLFLOW, Service, running_service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if here not in item.path.parents or not names & {"shared", "client", "service"}:
            continue
        item.add_marker(pytest.mark.service)
        if names & {"shared", "client"} and isinstance(item, pytest.Function):
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service without MLflow that no test stops."""
    data_dir = tmp_path_factory.mktemp("client") / "data"
    # each test exchanges files with its jobs in the test's directory
    async with running_service(data_dir, WITHOUT_MLFLOW | UNCONFINED) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def client(shared: Service) -> AsyncIterator[AsyncAsgardClient]:
    async with AsyncAsgardClient(shared.url) as client:
        yield client
