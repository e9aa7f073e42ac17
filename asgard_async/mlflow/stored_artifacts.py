"""Artifacts of jobs in the embedded MLflow, reported by `asgard gc`."""

from asgard_async.config.data_directory import DataDirectory
from asgard_async.domain.errors import AsgardError
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.attempt_tokens import FILE, AttemptTokens
from asgard_async.mlflow.connection import MlflowConnection
from asgard_async.mlflow.embedded import SETTINGS_FILE
from asgard_async.mlflow.listening_socket import HOST, StoredSettings
from asgard_async.mlflow.server.report import PATH
from asgard_async.mlflow.wire import ArtifactReport

TIMEOUT_SECONDS = 10.0


async def stored_artifacts(data: DataDirectory) -> ArtifactReport | None:
    """Ask the embedded server; None if it does not run.

    The server has counted the artifacts wherever its store is. Its files are not read here: they
    belong to the server, which acts for jobs.
    """
    settings = StoredSettings.read(data.mlflow_server / SETTINGS_FILE)
    if settings is None or not (data.mlflow_server / FILE).exists():
        return None
    tokens = AttemptTokens.open(data.mlflow_server)
    address = MlflowAddress(public_uri=f"http://{HOST}:{settings.port}", token=tokens.of_reporter())
    async with MlflowConnection(address, timeout_seconds=TIMEOUT_SECONDS) as connection:
        try:
            return await connection.request("GET", PATH, ArtifactReport)
        except AsgardError:
            return None
