"""Exceptions that the client raises, all derived from `AsgardError`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgard_async.client.jobs import Job


class AsgardError(Exception):
    """The service refused the request or could not be reached.

    Attributes:
        detail: a description of the problem that says what to do.
        status: the HTTP status; None without a response.
        errors: for `InvalidRequest`, the messages for each field.
        request_id: identifies the request in the service's log.
        kind: the problem's `type`, such as "urn:asgard:problem:job-not-found".
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        errors: Mapping[str, list[str]] | None = None,
        request_id: str | None = None,
        kind: str = "about:blank",
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.errors = dict(errors or {})
        self.request_id = request_id
        self.kind = kind

    def __str__(self) -> str:
        fields = (f"  {name}: {' '.join(messages)}" for name, messages in self.errors.items())
        return "\n".join([self.detail, *fields])


class InvalidRequest(AsgardError):
    """The request is invalid (422; `errors` names the fields), malformed or too large."""


class Unauthorized(AsgardError):
    """The token is missing or invalid (401), lacks the scope, or does not own the job (403)."""


class NotFound(AsgardError):
    """There is no such job, file, model or run (404), or it was deleted (410)."""


class LogNotKept(NotFound):
    """The log of a finished job is no longer stored (404)."""


class Conflict(AsgardError):
    """The job's state forbids this, or the idempotency key belongs to another submission (409)."""


class TooManyRequests(AsgardError):
    """The service is handling as many requests as it allows (429)."""


class QueueFull(TooManyRequests):
    """The queue is full (429)."""


class Unavailable(AsgardError):
    """The service is stopping, or the request needs MLflow, which does not answer (503)."""


class ConnectionFailed(AsgardError):
    """The service could not be reached, or the connection was lost.

    Attributes:
        sent: True if the request may have reached the service.
    """

    def __init__(self, detail: str, *, sent: bool = True) -> None:
        super().__init__(detail)
        self.sent = sent


class JobFailed(AsgardError):
    """The awaited job did not complete.

    Attributes:
        job: the finished job.
    """

    def __init__(self, job: "Job") -> None:
        reason = f" ({job.reason})" if job.reason and job.reason != job.status else ""
        error = f": {job.error}" if job.error else "."
        super().__init__(f"Job {job.job_id} ended as {job.status}{reason}{error}")
        self.job = job


ERRORS_BY_STATUS: Mapping[int, type[AsgardError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
QUEUE_FULL = "urn:asgard:problem:queue-full"
DRAINING = "urn:asgard:problem:service-draining"
STOPPED = "urn:asgard:problem:service-stopped"
"""Sent in place of the service while it is down."""
LOG_NOT_KEPT = "urn:asgard:problem:log-not-kept"
NOT_AUTHENTICATED = "urn:asgard:problem:not-authenticated"

ERRORS_BY_KIND: Mapping[str, type[AsgardError]] = {QUEUE_FULL: QueueFull, LOG_NOT_KEPT: LogNotKept}


def error_for(
    status: int,
    detail: str,
    *,
    errors: Mapping[str, list[str]] | None = None,
    request_id: str | None = None,
    kind: str = "about:blank",
) -> AsgardError:
    """Return the exception for an HTTP error status."""
    exception = ERRORS_BY_KIND.get(kind) or ERRORS_BY_STATUS.get(status, AsgardError)
    return exception(detail, status=status, errors=errors, request_id=request_id, kind=kind)
