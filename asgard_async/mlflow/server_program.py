"""The program of the embedded MLflow server; never imported by the service.

`python -P server_program.py FD,… BACKEND_URI` serves MLflow's ASGI application on inherited
listening sockets, behind the middleware in server/. `mlflow server` would import everything twice:
in a command that only waits, and in the server process that it starts.
"""

import os
import resource
import socket
import sys
from pathlib import Path
from typing import Any

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(str(Path(__file__).absolute().parents[2]))

from asgard_async.mlflow.server.application import (
    GuardedApplication,
    ServerSettings,
    protection_of,
)
from asgard_async.mlflow.server.protection import OWNERS_KNOWN

OWN_SCHEMES = frozenset({"", "file", "mlflow-artifacts", "models", "runs"})
"""Locations of artifacts that need no credentials; the sandbox restricts the files."""
MAX_HEADER_BYTES = 64 << 10


def main() -> None:
    """Serve until SIGTERM."""
    descriptors, backend_uri = sys.argv[1:]
    settings = ServerSettings.take()
    # the variables through which `mlflow server` passes settings to its application
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = backend_uri
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = backend_uri
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = settings.artifacts
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"

    _use_write_ahead_log()
    # before serving, as `mlflow server` does: concurrent first requests would each try to create
    # the tables and fail
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(backend_uri, backend_uri, "mlflow-artifacts:/")

    _keep_credentials_to_the_store(settings.artifacts)

    import uvicorn
    from mlflow.server.fastapi_app import app as plain_app

    from asgard_async.mlflow.server.connections import BoundedProtocol

    descriptors_at_most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors_at_most != resource.RLIM_INFINITY:
        # the others are for artifacts and databases
        half = descriptors_at_most // 2
        BoundedProtocol.max_connections = min(BoundedProtocol.max_connections, half)
    protection = protection_of(settings)
    app = plain_app
    if settings.guard != "on":
        (Path.cwd() / OWNERS_KNOWN).unlink(missing_ok=True)  # from now on, they are not recorded
    if settings.guard != "off":
        from asgard_async.mlflow.guard.install import guarded

        app = guarded(plain_app, protection, store=Path.cwd())
    application = GuardedApplication(app, settings, protection=protection, store=Path.cwd())
    listeners = [socket.socket(fileno=int(number)) for number in descriptors.split(",")]
    config = uvicorn.Config(
        application,
        access_log=False,
        timeout_graceful_shutdown=2,
        # not httptools, which buffers headers of any size
        http=BoundedProtocol,
        ws="none",
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    uvicorn.Server(config).run(sockets=listeners)
    application.close()


def _keep_credentials_to_the_store(destination: str) -> None:
    """Use the credentials of the artifact store for that store alone, and pass none of them on.

    A job may name any location for an experiment's artifacts, which MLflow would then read and
    write with the server's credentials. It would also sign URLs, with which jobs access the store
    past the limit on their artifacts.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
    from mlflow.server import handlers
    from mlflow.store.artifact import artifact_repository_registry
    from mlflow.utils.uri import get_uri_scheme

    registry = artifact_repository_registry._artifact_repository_registry
    get_repository = registry.get_artifact_repository
    below = destination.rstrip("/") + "/"

    def get_own_repository(artifact_uri: str, *arguments: Any, **options: Any) -> Any:
        scheme = get_uri_scheme(artifact_uri)  # type: ignore[no-untyped-call]
        if scheme not in OWN_SCHEMES and not f"{artifact_uri}/".startswith(below):
            raise MlflowException(
                "Asgard's MLflow accesses only its own artifact store; create experiments without"
                " an artifact_location.",
                error_code=INVALID_PARAMETER_VALUE,
            )
        return get_repository(artifact_uri, *arguments, **options)

    registry.get_artifact_repository = get_own_repository  # type: ignore[method-assign]

    class Unsupported:
        """The class of no repository."""

    for name in ("MultipartUploadMixin", "MultipartDownloadMixin", "PresignedUploadMixin"):
        getattr(handlers, name)  # fails if a later MLflow names it differently
        setattr(handlers, name, Unsupported)


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
