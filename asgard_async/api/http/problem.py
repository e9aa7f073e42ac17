"""Refusals and errors as RFC 9457 problem documents."""

import errno
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from asgard_async.api import errors as api_errors
from asgard_async.auth import errors as access_errors
from asgard_async.domain import errors
from asgard_async.domain.errors import AsgardError

CONTENT_TYPE = "application/problem+json"

STATUS_OF: Mapping[type[AsgardError], int] = {
    api_errors.MalformedBody: 400,
    access_errors.NotAuthenticated: 401,
    access_errors.ScopeTooSmall: 403,
    access_errors.TokensUnreadable: 503,
    api_errors.ForeignOrigin: 403,
    api_errors.ForeignHost: 403,
    api_errors.BodyTooSlow: 408,
    api_errors.BodyTooLarge: 413,
    api_errors.UnsupportedMediaType: 415,
    api_errors.InvalidRequest: 422,
    api_errors.UpgradeRequired: 426,
    api_errors.TooManyBodies: 503,
    errors.InvalidSubmission: 422,
    errors.JobNotFound: 404,
    errors.ArchiveNotKept: 404,
    errors.JobNotFinished: 409,
    errors.IdempotencyConflict: 409,
    errors.QueueFull: 429,
    access_errors.TooManyFailures: 429,
    errors.ServiceDraining: 503,
    errors.NotIsolated: 503,
    errors.DiskShort: 507,
    errors.Overloaded: 503,
    errors.TooManyChecks: 503,
    errors.TrackingUnavailable: 503,
    errors.TrackingNotFound: 404,
    errors.TrackingRejected: 422,
    AsgardError: 400,
}
"""Which status a refusal has; a subclass without a line of its own has that of its parent."""

CHALLENGES = 'Bearer realm="asgard", Basic realm="asgard", charset="UTF-8"'
"""Basic as well, so that a browser asks for the token when it opens /docs."""

RETRY_AFTER_SECONDS = 5
"""For a refusal that passes but does not say when."""

MAX_FIELDS_TOLD = 50
MAX_NAME_TOLD = 120


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a client is told. `extra` members stand beside the standard ones."""

    status: int
    detail: str
    type: str = "about:blank"
    title: str = ""
    errors: Mapping[str, list[str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def document(self, request_id: str) -> dict[str, Any]:
        """What is told of this problem."""
        document: dict[str, Any] = {
            "type": self.type,
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": _sendable(self.detail),
            **self.extra,
        }
        if self.errors is not None:
            document["errors"] = _told(self.errors)
        document["request_id"] = request_id
        return document

    def response(self, request_id: str) -> web.Response:
        """The response that carries this problem."""
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(self.document(request_id)),
            content_type=CONTENT_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )


def problem_of(error: Exception) -> Problem:
    """The problem that any exception becomes; of one that nobody foresaw little is told."""
    match error:
        case AsgardError():
            return problem_of_refusal(error)
        case web.HTTPException():
            return problem_of_http(error)
        case _:
            return problem_of_shortage(error) or INTERNAL_ERROR


def problem_of_refusal(error: AsgardError) -> Problem:
    """The problem that a domain error becomes."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS_OF)
    status = STATUS_OF[kind]
    headers = dict(getattr(error, "headers", {}))
    if status in {429, 503}:
        seconds = getattr(error, "retry_after_seconds", RETRY_AFTER_SECONDS)
        headers["Retry-After"] = str(math.ceil(seconds))
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGES
    fields = getattr(error, "errors", None)
    if status == 422 and fields is None:
        fields = {"request": [str(error)]}
    return Problem(
        status=status,
        type=f"urn:asgard:problem:{error.problem_type}",
        title=error.problem_type.replace("-", " ").capitalize(),
        detail=str(error),
        errors=fields,
        headers=headers,
    )


def problem_of_shortage(error: Exception) -> Problem | None:
    """The problem that a lack of the machine's becomes, and None for any other error."""
    number = getattr(error, "errno", None) if isinstance(error, OSError) else None
    code = getattr(error, "sqlite_errorcode", 0) if isinstance(error, sqlite3.Error) else 0
    if number in {errno.ENOSPC, errno.EDQUOT} or code & 0xFF == sqlite3.SQLITE_FULL:
        return problem_of_refusal(errors.DiskShort())
    if number in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN} or code & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }:
        return problem_of_refusal(errors.Overloaded())
    return None


def problem_of_http(error: web.HTTPException) -> Problem:
    """The problem that one of aiohttp's own exceptions becomes."""
    kept = {"Allow", "Retry-After", "WWW-Authenticate"}
    headers = {name: value for name, value in error.headers.items() if name in kept}
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            headers["Allow"] = allowed
            detail = f"{error.method} is not allowed here; allowed: {allowed}."
        case web.HTTPNotFound():
            detail = "There is nothing at this address."
        case web.HTTPRequestEntityTooLarge():
            detail = "The body is larger than what is accepted here."
        case web.HTTPExpectationFailed():
            detail = "The only expectation that is met is 100-continue."
        case _:
            detail = f"{error.reason}."
    return Problem(status=error.status, detail=detail, headers=headers)


def problem_of_malformed_http(status: int) -> Problem:
    """What a client is told whose request could not be read as HTTP."""
    return Problem(status=status, detail="The request could not be read as HTTP.")


INTERNAL_ERROR = Problem(
    status=500,
    detail="The server made an error; its log tells more under this request_id.",
)


def _told(errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    told = {
        _sendable(name)[:MAX_NAME_TOLD]: [_sendable(message) for message in messages]
        for name, messages in list(errors.items())[:MAX_FIELDS_TOLD]
    }
    if len(errors) > MAX_FIELDS_TOLD:
        told["…"] = [f"{len(errors) - MAX_FIELDS_TOLD} more fields are wrong."]
    return told


def _sendable(text: str) -> str:
    # header and query values may hold lone surrogates, which JSON in UTF-8 cannot carry
    return text.encode("utf-8", "replace").decode("utf-8")
