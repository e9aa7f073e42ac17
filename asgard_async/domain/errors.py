"""What can be refused, as exceptions; `api` maps each to a status code and a problem document."""

from collections.abc import Mapping


class AsgardError(Exception):
    """A refusal that a client may read. The text says what to do."""

    problem_type = "asgard-error"


class InvalidSubmission(AsgardError):
    """Fields of a submission break the contract (422)."""

    problem_type = "invalid-submission"

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        self.errors = dict(errors)
        super().__init__("The submission is not valid; see 'errors' for each field.")


class JobNotFound(AsgardError):
    """No such job (404)."""

    problem_type = "job-not-found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}; GET /mlops/training/jobs lists the jobs.")


class ArchiveNotKept(AsgardError):
    """The archive of a job has been thrown away (404)."""

    problem_type = "archive-not-kept"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The archive of job {job_id} is not kept any more ([retention]); upload it again."
        )


class JobNotFinished(AsgardError):
    """The operation needs a finished job (409)."""

    problem_type = "job-not-finished"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} has not finished; cancel it first or wait for its end.")


class IdempotencyConflict(AsgardError):
    """The idempotency key was used for something else (409)."""

    problem_type = "idempotency-conflict"


class QueueFull(AsgardError):
    """As many jobs wait as may wait (429)."""

    problem_type = "queue-full"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs are waiting already; submit again when some have run.")
        self.retry_after_seconds = 5


class ServiceDraining(AsgardError):
    """The service is stopping and takes no jobs (503)."""

    problem_type = "service-draining"

    def __init__(self) -> None:
        super().__init__("The service is stopping and takes no new jobs; submit again shortly.")
        self.retry_after_seconds = 5


class NotIsolated(AsgardError):
    """Jobs cannot be kept from doing harm as they should be (503)."""

    problem_type = "not-isolated"

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} The administrator has to mend it (asgard doctor).")
        self.retry_after_seconds = 60


class Overloaded(AsgardError):
    """The machine lacks something for a moment (503)."""

    problem_type = "overloaded"

    def __init__(self) -> None:
        super().__init__("The machine of the service is short of something; try again shortly.")
        self.retry_after_seconds = 5


class TooManyChecks(AsgardError):
    """As many scripts or archives wait to be checked as may wait (503)."""

    problem_type = "too-many-checks"

    def __init__(self) -> None:
        super().__init__("Too many submissions are being checked; send this one again shortly.")
        self.retry_after_seconds = 10


class DiskShort(AsgardError):
    """Too little space is left to take jobs (507)."""

    problem_type = "disk-short"

    def __init__(self) -> None:
        super().__init__(
            "The disk of the service is nearly full, so it takes no new jobs; delete old jobs, or"
            " have space made there."
        )


class TrackingUnavailable(AsgardError):
    """The answer needs MLflow, and MLflow does not answer (503)."""

    problem_type = "tracking-unavailable"


class TrackingNotFound(AsgardError):
    """MLflow does not know the model or run asked for (404)."""

    problem_type = "tracking-not-found"


class TrackingRejected(AsgardError):
    """MLflow refused the request as it was made (422)."""

    problem_type = "tracking-rejected"
