"""Errors in HTTP requests, raised before any other package is involved."""

from collections.abc import Mapping
from typing import ClassVar

from asgard_async.domain.errors import AsgardError, InvalidSubmission


class MalformedBody(AsgardError):
    """The body does not match its Content-Type (400)."""

    problem_type = "malformed-body"


class UnsupportedMediaType(AsgardError):
    """The type or encoding of the body is not supported (415)."""

    problem_type = "unsupported-media-type"


class ForeignOrigin(AsgardError):
    """A browser sent the request on behalf of another site (403)."""

    problem_type = "foreign-origin"
    title = "Cross-site request"

    def __init__(self) -> None:
        super().__init__("Cross-site requests may not change anything or open a WebSocket.")


class ForeignHost(AsgardError):
    """The Host header names a host that is not allowed (403)."""

    problem_type = "foreign-host"
    title = "Host not allowed"

    def __init__(self) -> None:
        super().__init__(
            "The Host header names a host that is not allowed; to allow it, add it to [server]"
            " allowed_hosts."
        )


class UpgradeRequired(AsgardError):
    """The path is a WebSocket, but the request does not ask for an upgrade (426)."""

    problem_type = "upgrade-required"

    headers: ClassVar[Mapping[str, str]] = {"Upgrade": "websocket", "Connection": "Upgrade"}

    def __init__(self) -> None:
        super().__init__(
            "This path is a WebSocket; use GET …/logs?follow=true for the log as plain text."
        )


class BodyTooLarge(AsgardError):
    """The body exceeds [server] max_body_bytes, or its archive [jobs] max_archive_bytes (413)."""

    problem_type = "body-too-large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body is larger than the {max_bytes} bytes that are allowed.")


class BodyTooSlow(AsgardError):
    """The body did not arrive in time (408)."""

    problem_type = "body-too-slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The body did not arrive within {seconds:g} s, or arrived too slowly; send it again."
        )


class TooManyBodies(AsgardError):
    """The memory for bodies is used up by other requests (503)."""

    problem_type = "too-many-bodies"

    def __init__(self) -> None:
        super().__init__("Too many large requests at once; send this one again shortly.")
        self.retry_after_seconds = 5


class TooManyRequests(AsgardError):
    """Too many requests are in progress, of this client or in total (429)."""

    problem_type = "too-many-requests"

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(
            f"{limit} {kind} are in progress, the most that are allowed; end some, or try again"
            " shortly."
        )
        self.retry_after_seconds = 5


class InvalidRequest(InvalidSubmission):
    """Query or body fields of a request other than an upload are invalid (422)."""

    problem_type = "invalid-request"

    def __str__(self) -> str:
        return "The request is not valid; see 'errors' for each field."
