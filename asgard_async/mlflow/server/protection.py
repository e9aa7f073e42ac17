"""The guard: who may call the embedded MLflow, which then keeps owners apart.

This module decides who calls. What a caller may do is decided by MLflow's own auth application,
which `guard/` prepares.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from .asgi import App, Message, Receive, Scope, Send, header, read_body, refusal
from .attempt_token import Caller, InvalidToken
from .callers import CALLER
from .identities import READERS_ACCOUNT, SERVICE, Identities, Identity, token_from

PATH = "/asgard/accounts"
IDENTITY = "asgard.identity"
"""The key of a request's identity in its scope; missing while the guard is off."""
OPEN_PATHS = ("/health", "/static-files/", "/favicon.ico")
"""Paths without data, which need no token: browsers request some without credentials."""
DENIED_BODY = b"Permission denied"
"""The whole body of a refusal of MLflow's auth application."""


class Protection:
    """The state of the guard, and the tokens that it accepts. While it is off, all may do all."""

    def __init__(self, identities: Identities, *, is_on: bool, others_read: bool) -> None:
        self.identities = identities
        self.is_on = is_on
        self.others_read = others_read
        self.on_change: Callable[[], None] = lambda: None

    def identity_of(self, authorization: str) -> Identity | None:
        """Return the party behind an Authorization header; None for a stranger."""
        if not self.is_on:
            return SERVICE
        try:
            return self.identities.of(authorization)
        except InvalidToken:
            return None

    def replace(self, document: dict[str, Any]) -> None:
        """Apply the settings and tokens that the service sends."""
        self.identities.replace_tokens(token_from(token) for token in document["tokens"])
        self.others_read = bool(document["others_read"])
        self.is_on = bool(document["is_on"])
        self.on_change()


class AccountsUpdate:
    """Takes the tokens from the service."""

    def __init__(self, app: App, *, protection: Protection) -> None:
        self._app = app
        self._protection = protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        caller: Caller | None = scope[CALLER]
        if scope["method"] != "PUT" or caller is None or not caller.is_administrator:
            raise refusal(scope, HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", "Use `asgard token`.")
        body = await read_body(receive)
        if body is None:
            return  # the client has disconnected
        self._protection.replace(json.loads(body))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})


class Authentication:
    """Refuses strangers while the guard is on, and explains what MLflow's auth refuses."""

    def __init__(self, app: App, *, protection: Protection) -> None:
        self._app = app
        self._protection = protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if (
            scope["type"] != "http"
            or not self._protection.is_on
            or scope["path"].startswith(OPEN_PATHS)
        ):
            await self._app(scope, receive, send)
            return
        identity = self._protection.identity_of(header(scope, b"authorization"))
        if identity is None:
            raise refusal(
                scope,
                HTTPStatus.UNAUTHORIZED,
                "UNAUTHENTICATED",
                "MLflow requires a token: set MLFLOW_TRACKING_TOKEN to a token of Asgard, or enter"
                " it as the password in the browser, with any user name.",
            )
        scope[IDENTITY] = identity
        await self._app(scope, receive, _explaining(send, identity))


def _explaining(send: Send, identity: Identity) -> Send:
    """Return a `send` that replaces MLflow's bare refusals by ones with a reason."""
    start: Message | None = None

    async def explaining(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.FORBIDDEN:
            start = message
            return
        if start is not None:
            if message.get("body", b"") == DENIED_BODY and not message.get("more_body", False):
                body = json.dumps(
                    {"error_code": "PERMISSION_DENIED", "message": _reason(identity)}
                ).encode()
                headers = [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                ]
                start, message = {**start, "headers": headers}, {**message, "body": body}
            await send(start)
            start = None
        await send(message)

    return explaining


def _reason(identity: Identity) -> str:
    if identity.account == READERS_ACCOUNT:
        return "A token with scope read changes nothing in MLflow."
    return (
        f"{identity.account} may not do this, or it does not exist. Runs and models belong to the"
        " owner whose jobs made them, and only that owner changes them; log new runs, under any"
        " experiment, and register models under names of your own."
    )
