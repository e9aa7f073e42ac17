"""The function by which MLflow's auth application authenticates a request."""

import flask
from werkzeug.datastructures import Authorization

from asgard_async.mlflow.server.identities import Identity
from asgard_async.mlflow.server.protection import Protection

FUNCTION = f"{__name__}:authenticate"
_installed: list[Protection] = []
"""The guard; MLflow finds the function by its name, so it takes no arguments."""


def use(protection: Protection) -> None:
    """Let `authenticate` ask this guard."""
    _installed[:] = [protection]


def identity_of_request() -> Identity | None:
    """Return the party behind Flask's current request."""
    header = flask.request.headers.get("Authorization", "")
    return _installed[0].identity_of(header)


def authenticate() -> Authorization | flask.Response:
    """Return the account that calls, or a refusal."""
    identity = identity_of_request()
    if identity is None:
        return flask.Response("A token is required.", 401, {"WWW-Authenticate": "Basic"})
    return Authorization("basic", {"username": identity.account, "password": ""})
