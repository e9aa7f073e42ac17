"""One fork server with the preload list of config.toml for all tests, on one event loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asgard_async.config import load_config
from asgard_async.executors.local.warm.server import ForkServer
from tests.support.fork_servers import fork_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if isinstance(item, pytest.Function) and pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def warm_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ForkServer]:
    """A fork server with everything that the service preloads and this Python has."""
    directory = tmp_path_factory.mktemp("server")
    async with fork_server(directory, load_config(environ={}).warm.preload) as server:
        yield server
