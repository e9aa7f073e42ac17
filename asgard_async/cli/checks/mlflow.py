"""The check of MLflow and its artifact store."""

import importlib.util

from asgard_async.cli.checks.finding import Finding, Level
from asgard_async.config import Config, ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.domain.errors import AsgardError
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.artifact_store import check_destination
from asgard_async.mlflow.gateway import MlflowGateway

RESPONSE_SECONDS = 5.0


async def mlflow(config: Config, data: DataDirectory) -> Finding:
    """Check that a configured MLflow server answers and can store artifacts.

    For the embedded server, only checks the installation, since the service monitors the server.
    """
    if config.mlflow.embedded:
        if importlib.util.find_spec("mlflow") is None:
            return Finding("MLflow", Level.FAIL, "is not installed", "pip install mlflow")
        try:
            check_destination(config)
        except ConfigError as error:
            return Finding("MLflow", Level.FAIL, str(error))
        return Finding(
            "MLflow",
            Level.OK,
            f"embedded; the service starts and monitors it; {_callers(config, data)}",
        )
    address = MlflowAddress.configured(config.mlflow)
    try:
        async with MlflowGateway(address, timeout_seconds=RESPONSE_SECONDS) as gateway:
            await gateway.active_experiment_ids()
            artifact_problem = await _artifact_problem(gateway)
    except AsgardError as error:
        return Finding(
            "MLflow",
            Level.FAIL,
            str(error),
            "check tracking_uri, username, password and token in [mlflow]: asgard config check",
        )
    if artifact_problem:
        return Finding(
            "MLflow", Level.WARN, artifact_problem, "see 'MLflow and artifacts' in the docs"
        )
    return Finding("MLflow", Level.OK, f"{address.public_uri} answers")


def _callers(config: Config, data: DataDirectory) -> str:
    if config.mlflow.guard == "on" or (config.mlflow.guard == "auto" and data.tokens.exists()):
        return "it requires a token and keeps owners apart"
    return "every user of this machine can use it, without a token"


async def _artifact_problem(gateway: MlflowGateway) -> str:
    try:
        await gateway.check_artifact_store()
    except AsgardError as error:
        return f"artifact store: {error}"
    return ""
