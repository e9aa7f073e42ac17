"""Errors as RFC 9457 problem documents."""

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
from asgard_async.auth import errors as auth_errors
from asgard_async.domain import errors
from asgard_async.domain.errors import AsgardError

CONTENT_TYPE = "application/problem+json"

STATUS_OF: Mapping[type[AsgardError], int] = {
    api_errors.MalformedBody: 400,
    auth_errors.NotAuthenticated: 401,
    auth_errors.ScopeTooSmall: 403,
    auth_errors.TokensUnreadable: 503,
    api_errors.ForeignOrigin: 403,
    api_errors.ForeignHost: 403,
    api_errors.BodyTooSlow: 408,
    api_errors.BodyTooLarge: 413,
    api_errors.UnsupportedMediaType: 415,
    api_errors.InvalidRequest: 422,
    api_errors.UpgradeRequired: 426,
    api_errors.TooManyBodies: 503,
    api_errors.TooManyRequests: 429,
    errors.InvalidSubmission: 422,
    errors.JobNotFound: 404,
    errors.NotYourJob: 403,
    errors.ArchiveNotKept: 404,
    errors.LogNotKept: 404,
    errors.NoSuchFile: 404,
    errors.FilesNotKept: 410,
    errors.JobNotFinished: 409,
    errors.IdempotencyConflict: 409,
    errors.QueueFull: 429,
    errors.QueueShareUsed: 429,
    auth_errors.TooManyFailures: 429,
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
"""HTTP status by error class; subclasses that are not listed have the status of their parent."""

CHALLENGES = 'Bearer realm="asgard", Basic realm="asgard", charset="UTF-8"'
"""Includes Basic, so that a browser asks for the token when it opens /docs."""

EXHAUSTED: Mapping[int, str] = {
    errno.EMFILE: "The service has too many open files",
    errno.ENFILE: "The service's machine has too many open files",
    errno.ENOMEM: "The service's machine is out of memory",
    errno.EAGAIN: "The service's machine is out of processes or threads",
}
"""The causes of temporary errors by errno: the machine has run out of a resource."""
LOCKED: Mapping[int, str] = dict.fromkeys(
    (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), "The service's database is busy"
)

RETRY_AFTER_SECONDS = 5
"""Default for temporary errors that do not specify a time."""

MAX_FIELDS_SHOWN = 50
MAX_NAME_LENGTH = 120


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error as sent to the client. `extra` holds additional members of the document."""

    status: int
    detail: str
    type: str = "about:blank"
    title: str = ""
    errors: Mapping[str, list[str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the problem document."""
        document: dict[str, Any] = {
            "type": self.type,
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": _sendable(self.detail),
            **self.extra,
        }
        if self.errors is not None:
            document["errors"] = _limited(self.errors)
        document["request_id"] = request_id
        return document

    def response(self, request_id: str) -> web.Response:
        """Return the response with this problem."""
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(self.document(request_id)),
            content_type=CONTENT_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )


def problem_of(error: Exception) -> Problem:
    """Return the problem for any exception; unexpected ones reveal no details."""
    match error:
        case AsgardError():
            return problem_of_refusal(error)
        case web.HTTPException():
            return problem_of_http(error)
        case _:
            return problem_of_exhaustion(error) or INTERNAL_ERROR


def problem_of_refusal(error: AsgardError) -> Problem:
    """Return the problem for a domain error."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
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
        title=error.title or error.problem_type.replace("-", " ").capitalize(),
        detail=str(error),
        errors=fields,
        headers=headers,
    )


def problem_of_exhaustion(error: Exception) -> Problem | None:
    """Return the problem if the machine ran out of a resource; None for any other error."""
    number = getattr(error, "errno", None) if isinstance(error, OSError) else None
    code = getattr(error, "sqlite_errorcode", 0) if isinstance(error, sqlite3.Error) else 0
    if number in {errno.ENOSPC, errno.EDQUOT} or code & 0xFF == sqlite3.SQLITE_FULL:
        return problem_of_refusal(errors.DiskShort())
    cause = EXHAUSTED.get(number) if number is not None else LOCKED.get(code & 0xFF)
    return problem_of_refusal(errors.Overloaded(cause)) if cause is not None else None


def problem_of_http(error: web.HTTPException) -> Problem:
    """Return the problem for one of aiohttp's own exceptions."""
    kept_names = {"Allow", "Content-Range", "Retry-After", "WWW-Authenticate"}
    headers = {name: value for name, value in error.headers.items() if name in kept_names}
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            headers["Allow"] = allowed
            detail = f"{error.method} is not allowed here; allowed: {allowed}."
        case web.HTTPNotFound():
            detail = "Unknown path; GET /openapi.json lists all paths."
        case web.HTTPRequestRangeNotSatisfiable():
            detail = "The range begins after the end of the file; Content-Range has its size."
        case web.HTTPRequestEntityTooLarge():
            detail = "The body is too large."
        case web.HTTPExpectationFailed():
            detail = "The only supported expectation is 100-continue."
        case _:
            detail = f"{error.reason}."
    return Problem(status=error.status, detail=detail, headers=headers)


def problem_of_malformed_http(status: int) -> Problem:
    """Return the problem for a request that is not valid HTTP."""
    return Problem(status=status, detail="The request is not valid HTTP.")


INTERNAL_ERROR = Problem(
    status=500,
    detail="Internal error; the service's log has details under this request_id.",
)


def _limited(errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    limited = {
        _sendable(name)[:MAX_NAME_LENGTH]: [_sendable(message) for message in messages]
        for name, messages in list(errors.items())[:MAX_FIELDS_SHOWN]
    }
    if len(errors) > MAX_FIELDS_SHOWN:
        limited["…"] = [f"{len(errors) - MAX_FIELDS_SHOWN} more fields are invalid."]
    return limited


def _sendable(text: str) -> str:
    # header and query values may hold lone surrogates, which JSON in UTF-8 cannot carry
    return text.encode("utf-8", "replace").decode("utf-8")
