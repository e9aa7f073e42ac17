"""What can go wrong, as exceptions; `AsgardError` is the parent of them all."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgard_async.client.jobs import Job


class AsgardError(Exception):
    """The service refused, or could not be asked.

    Attributes:
        detail: a sentence that says what to do.
        status: the HTTP status; None when there was no answer.
        errors: for `InvalidRequest`, what is wrong with each field.
        request_id: under which the service's own log tells more.
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
        told = (f"  {name}: {' '.join(messages)}" for name, messages in self.errors.items())
        return "\n".join([self.detail, *told])


class InvalidRequest(AsgardError):
    """What was sent is wrong: `errors` says where (422), or it is malformed or too large."""


class Unauthorized(AsgardError):
    """A token is missing or wrong (401), or does not allow this (403)."""


class NotFound(AsgardError):
    """There is no such job, model or run (404)."""


class Conflict(AsgardError):
    """Not in this state of the job, or the idempotency key was used for something else (409)."""


class TooManyRequests(AsgardError):
    """More than the service takes at the moment (429)."""


class QueueFull(TooManyRequests):
    """As many jobs wait as may wait (429)."""


class Unavailable(AsgardError):
    """The service is stopping, or the answer needs MLflow, which does not answer (503)."""


class ConnectionFailed(AsgardError):
    """The service could not be reached, or broke the connection off.

    Attributes:
        sent: whether the request may have reached the service.
    """

    def __init__(self, detail: str, *, sent: bool = True) -> None:
        super().__init__(detail)
        self.sent = sent


class JobFailed(AsgardError):
    """The job that was waited for did not complete.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: "Job") -> None:
        reason = f" ({job.reason})" if job.reason and job.reason != job.status else ""
        error = f": {job.error}" if job.error else "."
        super().__init__(f"Job {job.job_id} ended as {job.status}{reason}{error}")
        self.job = job


KINDS: Mapping[int, type[AsgardError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
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


def error_of(
    status: int,
    detail: str,
    *,
    errors: Mapping[str, list[str]] | None = None,
    request_id: str | None = None,
    kind: str = "about:blank",
) -> AsgardError:
    """The exception for a refusal."""
    exception = QueueFull if kind == QUEUE_FULL else KINDS.get(status, AsgardError)
    return exception(detail, status=status, errors=errors, request_id=request_id, kind=kind)
