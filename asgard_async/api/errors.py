"""What can be wrong with a request before any other room hears of it."""

from collections.abc import Mapping
from typing import ClassVar

from asgard_async.domain.errors import AsgardError, InvalidSubmission


class MalformedBody(AsgardError):
    """The body is not what its Content-Type says (400)."""

    problem_type = "malformed-body"


class UnsupportedMediaType(AsgardError):
    """The body comes in a type or an encoding that is not read here (415)."""

    problem_type = "unsupported-media-type"


class ForeignOrigin(AsgardError):
    """A browser sent the request for a page of another site (403)."""

    problem_type = "foreign-origin"

    def __init__(self) -> None:
        super().__init__("The request comes from a page of another site, which may not do that.")


class ForeignHost(AsgardError):
    """The request names a host that the service does not go by (403)."""

    problem_type = "foreign-host"

    def __init__(self) -> None:
        super().__init__(
            "The request is for a host that is not this service's; if it should be, its name"
            " belongs into [server] allowed_hosts."
        )


class UpgradeRequired(AsgardError):
    """The address is a WebSocket's, and the request is none (426)."""

    problem_type = "upgrade-required"

    headers: ClassVar[Mapping[str, str]] = {"Upgrade": "websocket", "Connection": "Upgrade"}

    def __init__(self) -> None:
        super().__init__(
            "This is a WebSocket; GET …/logs?follow=true is the same log as plain text."
        )


class BodyTooLarge(AsgardError):
    """The body exceeds [server] max_body_bytes, or its archive [jobs] max_archive_bytes (413)."""

    problem_type = "body-too-large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body is larger than the {max_bytes} bytes that are accepted here.")


class BodyTooSlow(AsgardError):
    """The body did not arrive in time (408)."""

    problem_type = "body-too-slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The body did not arrive within {seconds:g} s, or came too slowly for that; send it"
            " again."
        )


class TooManyBodies(AsgardError):
    """As many large bodies are being received as there is memory for (503)."""

    problem_type = "too-many-bodies"

    def __init__(self) -> None:
        super().__init__("Too many large requests come at once; send this one again shortly.")
        self.retry_after_seconds = 5


class InvalidRequest(InvalidSubmission):
    """Query or body fields of a request other than an upload break the contract (422)."""

    problem_type = "invalid-request"

    def __str__(self) -> str:
        return "The request is not valid; see 'errors' for each field."
