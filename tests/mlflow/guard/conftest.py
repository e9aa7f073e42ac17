"""One embedded MLflow that keeps owners apart."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.guarded_mlflow import GuardedMlflow, guarded_mlflow


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedMlflow]:
    """The server for the session; tests use names of their own."""
    async with guarded_mlflow(tmp_path_factory.mktemp("guarded") / "data") as mlflow:
        yield mlflow
