"""The embedded MLflow server's own process; never imported by the service.

`python -P server_program.py FD BACKEND_URI` serves MLflow's ASGI application on an inherited
listening socket; ASGARD_MLFLOW_ARTIFACTS says where artifacts go. `mlflow server` would import
everything twice: in a command that waits, and in the server that it starts.
"""

import os
import socket
import sys
from typing import Any


def main() -> None:
    """Serve until SIGTERM."""
    descriptor, backend_uri = sys.argv[1:]
    artifacts = os.environ.pop("ASGARD_MLFLOW_ARTIFACTS")
    # MLflow's own names for what `mlflow server` hands to its application
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = backend_uri
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = backend_uri
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"

    _sync_less_often()
    # before serving, as `mlflow server` does: first requests that come together would each make
    # the tables, and fail
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(backend_uri, backend_uri, "mlflow-artifacts:/")

    import uvicorn

    listener = socket.socket(fileno=int(descriptor))
    config = uvicorn.Config(
        "mlflow.server.fastapi_app:app", access_log=False, timeout_graceful_shutdown=2
    )
    uvicorn.Server(config).run(sockets=[listener])


def _sync_less_often() -> None:
    """A write-ahead log: as durable as SQLite's default, for one fsync instead of four."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def _use_write_ahead_log(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")


if __name__ == "__main__":
    main()
