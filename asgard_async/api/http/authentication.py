"""The doors: who a request is from, and whether that one may."""

import base64
import binascii

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from asgard_async.api.http.foreign_requests import SAFE_METHODS, refuse_foreign
from asgard_async.api.http.requests import TOKEN
from asgard_async.auth.authenticator import Authenticator
from asgard_async.auth.errors import NotAuthenticated, ScopeTooSmall, TooManyFailures
from asgard_async.auth.failures import Failures
from asgard_async.auth.token import Scope, Token

OPEN = "/health/"
"""What begins so is answered to everybody."""

ADMIN_ROUTES = frozenset({"/mlops/registry"})
"""What changes more than jobs."""

PROTOCOL = "asgard.logs"
SUBPROTOCOL = "asgard.bearer."
"""A browser's WebSocket can send no header of its own, but name protocols."""


def guard(
    authenticator: Authenticator, failures: Failures, *, allowed_hosts: frozenset[str]
) -> Middleware:
    """A middleware that lets in who may come in.

    It must stand inside the one that answers refusals.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(OPEN):
            refuse_foreign(request, allowed_hosts=allowed_hosts)
            token = _authenticate(request, authenticator, failures)
            if token is not None:
                if not token.scope.covers(needed := scope_for(request)):
                    raise ScopeTooSmall(token.name, has=token.scope, needs=needed)
                request[TOKEN] = token
        return await handler(request)

    return guarded


def scope_for(request: web.Request) -> Scope:
    """What a request needs. To learn that there is nothing at an address, any scope will do."""
    resource = request.match_info.route.resource
    if resource is None or request.method in SAFE_METHODS:
        return Scope.READ
    return Scope.ADMIN if resource.canonical in ADMIN_ROUTES else Scope.SUBMIT


def _authenticate(
    request: web.Request, authenticator: Authenticator, failures: Failures
) -> Token | None:
    given = _secret_in(request)
    if given is not None and (token := authenticator.find(given)) is not None:
        return token
    if authenticator.is_open():
        return None
    if given is None:
        raise NotAuthenticated(wrong=False)
    address = request.remote or ""
    if wait := failures.wait_seconds(address):
        raise TooManyFailures(wait)
    failures.note(address)
    raise NotAuthenticated(wrong=True)


def _secret_in(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            return _password_in(value)
    for protocol in _offered_protocols(request):
        if protocol.startswith(SUBPROTOCOL):
            return protocol.removeprefix(SUBPROTOCOL)
    return None


def agreed_protocols(request: web.Request) -> list[str]:
    """The subprotocols to agree on: a browser wants one of those that it offers.

    The one with the token is repeated only to a client that offers no other.
    """
    offered = _offered_protocols(request)
    if PROTOCOL in offered:
        return [PROTOCOL]
    return [protocol for protocol in offered if protocol.startswith(SUBPROTOCOL)]


def _offered_protocols(request: web.Request) -> list[str]:
    lines = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [word.strip() for line in lines for word in line.split(",")]


def _password_in(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return decoded.partition(":")[2]
