"""One embedded MLflow that the tests of this directory attack."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.support.attacked_mlflow import SETTINGS, AttackedMlflow
from tests.support.service import running_service
from tests.support.service_users import launcher_for_ordinary_user


@pytest_asyncio.fixture(
    scope="session",
    loop_scope="session",
    params=["same user", pytest.param("ordinary", marks=pytest.mark.soak)],
)
async def embedded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AttackedMlflow]:
    """The server for the session; tests use jobs and names of their own."""
    data_dir = tmp_path_factory.mktemp("attacked") / "data"
    launcher = launcher_for_ordinary_user(data_dir) if request.param == "ordinary" else ()
    async with (
        running_service(data_dir, SETTINGS, launcher) as service,
        aiohttp.ClientSession() as session,
    ):
        yield AttackedMlflow(service, await service.mlflow_uri(), session)
