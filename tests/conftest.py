"""What is shared by the tests of several rooms."""

from collections.abc import Iterator

import pytest

from tests.tracking.servers import MlflowServer, running_mlflow


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One real MLflow server for the whole session; tests keep apart by names of their own."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
