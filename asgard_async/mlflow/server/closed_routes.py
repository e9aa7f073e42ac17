"""Features of MLflow that Asgard does not use, and that act with the server's permissions.

The assistant runs programs in the server's process, on behalf of a language model that any caller
can name; the gateway and the webhooks send requests; jobs of MLflow run outside of Asgard's
sandbox. The server has the credentials of the artifact store.
"""

import re
from http import HTTPStatus

from .asgi import App, Receive, Scope, Send, refusal

CLOSED = re.compile(
    r"/+(?:"
    r"(?:ajax-)?api/+\d+\.\d+/+(?:mlflow/+)?"
    r"(?:assistant|gateway|gateway-proxy|jobs|webhooks|scorers/+online|mcp-servers)"
    r"|gateway"
    r")(?:[/?]|$)"
)


class ClosedRoutes:
    """Answers 404 for those features."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and CLOSED.match(scope["path"]):
            raise refusal(
                scope,
                HTTPStatus.NOT_FOUND,
                "ENDPOINT_NOT_FOUND",
                "Asgard's MLflow does not offer this feature.",
            )
        await self._app(scope, receive, send)
