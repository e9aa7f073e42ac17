"""The program of the embedded MLflow server; never imported by the service.

`python -P server_program.py FD,… BACKEND_URI` serves MLflow's ASGI application on inherited
listening sockets; ASGARD_MLFLOW_ARTIFACTS is the artifact store. `mlflow server` would import
everything twice: in a command that only waits, and in the server process that it starts.
"""

import os
import socket
import sys
from typing import Any


def main() -> None:
    """Serve until SIGTERM."""
    descriptors, backend_uri = sys.argv[1:]
    artifacts = os.environ.pop("ASGARD_MLFLOW_ARTIFACTS")
    # the variables through which `mlflow server` passes settings to its application
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = backend_uri
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = backend_uri
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"

    _use_write_ahead_log()
    # before serving, as `mlflow server` does: concurrent first requests would each try to create
    # the tables and fail
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(backend_uri, backend_uri, "mlflow-artifacts:/")

    import uvicorn

    listeners = [socket.socket(fileno=int(number)) for number in descriptors.split(",")]
    config = uvicorn.Config(
        "mlflow.server.fastapi_app:app", access_log=False, timeout_graceful_shutdown=2
    )
    uvicorn.Server(config).run(sockets=listeners)


def _use_write_ahead_log() -> None:
    """Use SQLite's write-ahead log: as durable as the default, with one fsync instead of four."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _set_pragmas(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")


if __name__ == "__main__":
    main()
