"""Features of MLflow that Asgard does not use, and that act with the server's permissions.

The assistant runs programs in the server's process, on behalf of a language model that any caller
can name; the gateway and the webhooks send requests; jobs of MLflow run outside of Asgard's
sandbox. The server has the credentials of the artifact store. Accounts have no passwords and no
roles: they follow the tokens of Asgard.
"""

import re
from http import HTTPStatus

from .asgi import App, Receive, Scope, Send, refusal
from .identities import Identity
from .protection import IDENTITY

CLOSED = re.compile(
    r"/+(?:"
    r"(?:ajax-)?api/+\d+\.\d+/+(?:mlflow/+)?"
    r"(?:assistant|gateway|gateway-proxy|jobs|scorers/+online|mcp-servers|demo|roles|workspaces"
    r"|prompt-optimization|runs/+create-promptlab-run|[a-z]+/+invoke"
    r"|users/+(?:create|create-ui|delete|update-admin|update-password))"
    r"|gateway|signup"
    r")(?:[/?]|$)"
)
FOR_ADMINISTRATORS = re.compile(r"/+(?:ajax-)?api/+\d+\.\d+/+mlflow/+webhooks(?:[/?]|$)")
"""Closed to others, also while the guard is off: then nobody is known to be one."""


class ClosedRoutes:
    """Answers 404 for those features."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and _is_closed(scope):
            raise refusal(
                scope,
                HTTPStatus.NOT_FOUND,
                "ENDPOINT_NOT_FOUND",
                "Asgard's MLflow does not offer this feature.",
            )
        await self._app(scope, receive, send)


def _is_closed(scope: Scope) -> bool:
    if FOR_ADMINISTRATORS.match(scope["path"]):
        identity: Identity | None = scope.get(IDENTITY)
        return identity is None or not identity.is_admin
    return CLOSED.match(scope["path"]) is not None
