"""Recognition of callers by their token."""

from http import HTTPStatus

from .asgi import App, Receive, Scope, Send, header, refusal
from .attempt_token import PREFIX, Caller, InvalidToken, verify
from .secrets_in_headers import secret_in

CALLER = "asgard.caller"
"""The key of a request's caller in its scope; None for one without a token."""


class Callers:
    """Checks the tokens of attempts; requests without one pass as anonymous."""

    def __init__(self, app: App, *, key: bytes) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            scope[CALLER] = self._caller(scope)
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller | None:
        token = secret_in(header(scope, b"authorization"))
        if not token.startswith(PREFIX):
            return None
        try:
            return verify(self._key, token)
        except InvalidToken as error:
            raise refusal(
                scope,
                HTTPStatus.UNAUTHORIZED,
                "UNAUTHENTICATED",
                f"{error} Unset MLFLOW_TRACKING_TOKEN outside of jobs.",
            ) from None
