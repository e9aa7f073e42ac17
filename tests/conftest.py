"""Fixtures that more than one folder needs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.service import WITHOUT_MLFLOW, Service, running_service
from tests.tracking.servers import MlflowServer, running_mlflow


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A started service whose MLflow refuses connections; everything is gone at the end."""
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as started:
        yield started


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One real MLflow server for the whole session; tests keep apart by names of their own."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
