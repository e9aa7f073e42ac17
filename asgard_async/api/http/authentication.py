"""The authentication middleware: checks the token of a request and its scope."""

import base64
import binascii

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from asgard_async.api.errors import ForeignHost, ForeignOrigin
from asgard_async.api.http.foreign_requests import SAFE_METHODS, refuse_foreign
from asgard_async.api.http.requests import TOKEN
from asgard_async.api.http.requests_in_progress import RequestsInProgress
from asgard_async.auth.authenticator import Authenticator
from asgard_async.auth.denials import Denials
from asgard_async.auth.errors import NotAuthenticated, ScopeTooSmall, TooManyFailures
from asgard_async.auth.failures import Failures
from asgard_async.auth.token import Scope, Token

OPEN_PREFIX = "/health/"
"""Paths with this prefix need no token."""

ADMIN_ROUTES = frozenset({"/mlops/registry"})
"""Routes that change more than jobs."""

DENIED = (NotAuthenticated, TooManyFailures, ScopeTooSmall, ForeignHost, ForeignOrigin)

PROTOCOL = "asgard.logs"
TOKEN_PROTOCOL_PREFIX = "asgard.bearer."  # noqa: S105  # not a secret
"""Prefix of the subprotocol that carries a token: a browser's WebSocket cannot send headers."""


def guard(
    authenticator: Authenticator,
    failures: Failures,
    *,
    in_progress: RequestsInProgress,
    denials: Denials,
    allowed_hosts: frozenset[str],
) -> Middleware:
    """Create a middleware that rejects foreign and unauthenticated requests.

    It belongs inside the middleware that turns errors into responses.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OPEN_PREFIX):
            return await handler(request)
        token = None
        try:
            refuse_foreign(request, allowed_hosts=allowed_hosts)
            token = _authenticate(request, authenticator, failures)
            if token is not None and not token.scope.covers(needed := scope_for(request)):
                raise ScopeTooSmall(token.name, has=token.scope, needs=needed)
        except DENIED as error:
            denials.note(
                reason=error.problem_type,
                token=token.name if token is not None else None,
                remote=request.remote,
                method=request.method,
                path=request.rel_url.raw_path,
            )
            raise
        if token is not None:
            request[TOKEN] = token
        requests = in_progress.begin(request, token)
        try:
            return await handler(request)
        finally:
            in_progress.end(request, requests)

    return guarded


def scope_for(request: web.Request) -> Scope:
    """Return the scope that a request needs; any scope may learn that a path does not exist."""
    resource = request.match_info.route.resource
    if resource is None or request.method in SAFE_METHODS:
        return Scope.READ
    return Scope.ADMIN if resource.canonical in ADMIN_ROUTES else Scope.SUBMIT


def _authenticate(
    request: web.Request, authenticator: Authenticator, failures: Failures
) -> Token | None:
    secret = _secret_in(request)
    if secret is not None and (token := authenticator.find(secret)) is not None:
        return token
    if authenticator.is_open():
        return None
    if secret is None:
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
        if protocol.startswith(TOKEN_PROTOCOL_PREFIX):
            return protocol.removeprefix(TOKEN_PROTOCOL_PREFIX)
    return None


def agreed_protocols(request: web.Request) -> list[str]:
    """Return the subprotocols to accept; a browser requires one that it has offered.

    The subprotocol with the token is echoed only if the client does not offer `asgard.logs`.
    """
    offered = _offered_protocols(request)
    if PROTOCOL in offered:
        return [PROTOCOL]
    return [protocol for protocol in offered if protocol.startswith(TOKEN_PROTOCOL_PREFIX)]


def _offered_protocols(request: web.Request) -> list[str]:
    lines = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [protocol.strip() for line in lines for protocol in line.split(",")]


def _password_in(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return decoded.partition(":")[2]
