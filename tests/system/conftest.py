"""One `asgard serve` with embedded MLflow for all end-to-end tests, on one event loop.

`ASGARD_E2E_URL` selects a running service instead: one from an installed wheel
(`make wheel-test`), or from the image (`make image-test`).
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.mlflow_api import MlflowApi
from tests.support.processes import processes_with
from tests.support.service import ServiceApi, running_service

URL_VARIABLE = "ASGARD_E2E_URL"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here == item.path.parent:
            item.add_marker(pytest.mark.mlflow)
            if isinstance(item, pytest.Function) and pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def asgard_service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceApi]:
    """A real service with embedded MLflow; no process may remain after SIGTERM."""
    if url := os.environ.get(URL_VARIABLE):
        api = ServiceApi(url)
        yield api
        await api.close()
        return
    data_dir = tmp_path_factory.mktemp("e2e") / "data"
    settings = {"ASGARD_TRACKING__SETTLE_SECONDS": "5", "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "2"}
    async with running_service(data_dir, settings) as service:
        yield service
        assert await service.end() == 0, service.log.read_text()
        await eventually(
            lambda: not processes_with(str(data_dir)), what="everything ended by itself"
        )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mlflow_api(asgard_service: ServiceApi) -> MlflowApi:
    """MLflow's REST API at the address that the service reports."""
    return MlflowApi(await asgard_service.mlflow_uri(), asgard_service.session)
