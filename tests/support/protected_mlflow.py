"""An external MLflow server that requires a password and stores artifacts in S3."""

import contextlib
import json
import sqlite3
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from werkzeug.security import generate_password_hash

from asgard_async.mlflow.address import MlflowAddress
from tests.support.mlflow_servers import MlflowServer, running_mlflow
from tests.support.mlflow_user import MlflowUser
from tests.support.s3_server import S3Server

BUCKET = "models-of-others"
PREFIX = "mlflow/artifacts"
ADMIN, ADMIN_PASSWORD = "admin", "admin-password-of-mlflow"
USER, PASSWORD = "asgard", "hush-hush-of-asgard"


@dataclass(frozen=True, kw_only=True)
class ProtectedMlflow:
    """The server and its two accounts."""

    server: MlflowServer
    s3: S3Server

    @property
    def uri(self) -> str:
        return self.server.uri

    def address(self, username: str = USER, password: str = PASSWORD) -> MlflowAddress:
        return MlflowAddress.parse(self.uri, username=username, password=password)

    def settings(self, **other: str) -> Mapping[str, str]:
        """Settings that make a service use it."""
        return {
            "ASGARD_MLFLOW__TRACKING_URI": self.uri,
            "ASGARD_MLFLOW__USERNAME": USER,
            "ASGARD_MLFLOW__PASSWORD": PASSWORD,
            **other,
        }

    async def as_admin(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """A call as MLflow's administrator that must succeed."""
        headers = {"Authorization": self.address(ADMIN, ADMIN_PASSWORD).authorization or ""}
        async with aiohttp.ClientSession(headers=headers) as session:
            return await MlflowUser(self.uri, session).call(method, path, body, **params)


@contextmanager
def running_protected_mlflow(directory: Path, s3: S3Server) -> Iterator[ProtectedMlflow]:
    """Start the server, with an account for Asgard that is not an administrator."""
    accounts = directory / "basic_auth.ini"
    accounts.write_text(
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = sqlite:///{directory / 'users.db'}\n"
        f"admin_username = {ADMIN}\n"
    )
    s3.make_bucket(BUCKET)
    with running_mlflow(
        directory,
        *("--app-name", "basic-auth"),
        artifacts=f"s3://{BUCKET}/{PREFIX}",
        environment={
            **s3.variables,
            "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "for the forms of its pages",
        },
    ) as server:
        protected = ProtectedMlflow(server=server, s3=s3)
        _add_user(protected.address(ADMIN, ADMIN_PASSWORD))
        _make_passwords_cheap_to_check(directory / "users.db")
        yield protected


def _make_passwords_cheap_to_check(database: Path) -> None:
    """Store hashes of one iteration: MLflow's take 0.3 s of a core for each request."""
    with contextlib.closing(sqlite3.connect(database)) as users, users:
        for name, password in ((ADMIN, ADMIN_PASSWORD), (USER, PASSWORD)):
            hashed = generate_password_hash(password, "pbkdf2:sha256:1")
            users.execute("UPDATE users SET password_hash = ? WHERE username = ?", (hashed, name))


def _add_user(admin: MlflowAddress) -> None:
    request = urllib.request.Request(
        f"{admin.public_uri}/api/2.0/mlflow/users/create",
        json.dumps({"username": USER, "password": PASSWORD}).encode(),
        {"Authorization": admin.authorization or "", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200
