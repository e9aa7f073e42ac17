"""The guard: who may call the embedded MLflow, which then keeps owners apart.

This module decides who calls. What a caller may do is decided by MLflow's own auth application,
which `guard/` prepares.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from .asgi import App, Message, Receive, Scope, Send, header, read_body, refusal
from .attempt_token import Caller, InvalidToken
from .callers import CALLER
from .identities import READERS_ACCOUNT, SERVICE, Identities, Identity, token_from

PATH = "/asgard/accounts"
OWNERS_PATH = "/asgard/owners"
OWNERS_KNOWN = "owners-known"
"""A file in MLflow's directory: the owners of all that jobs made are recorded."""
IDENTITY = "asgard.identity"
"""The key of a request's identity in its scope; missing while the guard is off."""
OPEN_PATHS = ("/health", "/static-files/", "/favicon.ico")
"""Paths without data, which need no token: browsers request some without credentials."""
DENIED_BODY = b"Permission denied"
"""The whole body of a refusal of MLflow's auth application."""


class TakeOwners(Protocol):
    """Takes the owners of jobs; the last call is complete."""

    def __call__(self, of_jobs: Mapping[str, str], *, is_complete: bool) -> None: ...


class Protection:
    """The state of the guard, and the tokens that it accepts. While it is off, all may do all."""

    def __init__(self, identities: Identities, *, is_on: bool, others_read: bool) -> None:
        self.identities = identities
        self.is_on = is_on
        self.others_read = others_read
        self.on_change: Callable[[], None] = lambda: None
        self.owners_are_unknown: Callable[[], bool] = lambda: False
        self.take_owners: TakeOwners = _ignore

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


def _ignore(of_jobs: Mapping[str, str], *, is_complete: bool) -> None:
    """Take no owners: there are no permissions."""


class AccountsUpdate:
    """Takes the tokens, and the owners of jobs, from the service."""

    def __init__(self, app: App, *, protection: Protection) -> None:
        self._app = app
        self._protection = protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["path"] not in {PATH, OWNERS_PATH}:
            await self._app(scope, receive, send)
            return
        caller: Caller | None = scope[CALLER]
        if scope["method"] != "PUT" or caller is None or not caller.is_administrator:
            raise refusal(scope, HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", "Use `asgard token`.")
        body = await read_body(receive)
        if body is None:
            return  # the client has disconnected
        document = json.loads(body)
        if scope["path"] == PATH:
            self._protection.replace(document)
        else:
            await asyncio.to_thread(
                self._protection.take_owners,
                document["owners"],
                is_complete=document["is_complete"],
            )
        unknown = self._protection.is_on and self._protection.owners_are_unknown()
        response = json.dumps({"owners_are_unknown": unknown}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response})


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
    held: list[Message] = []

    async def explaining(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.FORBIDDEN:
            held.append(message)
            return
        if not held:
            await send(message)
            return
        held.append(message)
        body = b"".join(part.get("body", b"") for part in held[1:])
        if message.get("more_body", False) and len(body) <= len(DENIED_BODY):
            return
        messages = _explained(held[0], identity) if body == DENIED_BODY else list(held)
        held.clear()
        for one in messages:
            await send(one)

    return explaining


def _explained(start: Message, identity: Identity) -> list[Message]:
    document = {"error_code": "PERMISSION_DENIED", "message": _reason(identity)}
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    return [{**start, "headers": headers}, {"type": "http.response.body", "body": body}]


def _reason(identity: Identity) -> str:
    if identity.account == READERS_ACCOUNT:
        return "A token with scope read changes nothing in MLflow."
    return (
        f"{identity.account} may not do this, or it does not exist. Runs and models belong to the"
        " owner whose jobs made them, and only that owner changes them; log new runs, under any"
        " experiment, and register models under names of your own."
    )
