"""Domain errors; `api` maps each to a status code and a problem document."""

from collections.abc import Mapping


class AsgardError(Exception):
    """An error that clients may see; its message says what to do.

    `problem_type` is part of the API and does not change if the class is renamed. `title` describes
    the type in a few words; by default, it is derived from the type.
    """

    problem_type = "asgard-error"
    title = ""


class InvalidSubmission(AsgardError):
    """Fields of a submission are invalid (422)."""

    problem_type = "invalid-submission"

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        self.errors = dict(errors)
        super().__init__("The submission is not valid; see 'errors' for each field.")


class JobNotFound(AsgardError):
    """No such job (404)."""

    problem_type = "job-not-found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}; GET /mlops/training/jobs lists the jobs.")


class NotYourJob(AsgardError):
    """The job belongs to another token (403)."""

    problem_type = "not-your-job"
    title = "Job of another token"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"Job {job_id} was submitted with another token; use that token, or ask an"
            " administrator."
        )


class ArchiveNotKept(AsgardError):
    """The archive of a job is deleted (404)."""

    problem_type = "archive-not-kept"
    title = "Archive deleted"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The archive of job {job_id} was deleted by [retention]; upload it again."
        )


class LogNotKept(AsgardError):
    """The log of a finished job is no longer stored (404)."""

    problem_type = "log-not-kept"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The log of job {job_id} is no longer stored: [retention] deleted it, or it was lost"
            " or not restored with the database."
        )


class JobNotFinished(AsgardError):
    """The operation requires a finished job (409)."""

    problem_type = "job-not-finished"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} has not finished; cancel it first, or wait.")


class IdempotencyConflict(AsgardError):
    """The idempotency key belongs to another submission (409)."""

    problem_type = "idempotency-conflict"


class QueueFull(AsgardError):
    """The queue has no space for another job (429)."""

    problem_type = "queue-full"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The queue is full ({limit} jobs); submit again later.")
        self.retry_after_seconds = 5


class QueueShareUsed(AsgardError):
    """The owner already has half of the queue (429)."""

    problem_type = "queue-share-used"
    title = "Share of the queue used up"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} jobs of your token are queued, the most that one token may have; cancel some,"
            " or submit again later."
        )
        self.retry_after_seconds = 5


class ServiceDraining(AsgardError):
    """The service is stopping and accepts no jobs (503)."""

    problem_type = "service-draining"

    def __init__(self) -> None:
        super().__init__("The service is stopping and accepts no new jobs; submit again shortly.")
        self.retry_after_seconds = 5


class NotIsolated(AsgardError):
    """Jobs cannot be isolated as configured (503)."""

    problem_type = "not-isolated"
    title = "Isolation unavailable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} An administrator must fix it; see 'asgard doctor'.")
        self.retry_after_seconds = 60


class Overloaded(AsgardError):
    """The machine is temporarily out of a resource (503)."""

    problem_type = "overloaded"

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause}; try again shortly.")
        self.retry_after_seconds = 5


class TooManyChecks(AsgardError):
    """The queue of scripts or archives to check is full (503)."""

    problem_type = "too-many-checks"

    def __init__(self) -> None:
        super().__init__("Too many submissions are being checked; send this one again shortly.")
        self.retry_after_seconds = 10


class DiskShort(AsgardError):
    """The disk has too little free space for new jobs (507)."""

    problem_type = "disk-short"
    title = "Insufficient disk space"

    def __init__(self) -> None:
        super().__init__(
            "The service's disk is nearly full, so it accepts no new jobs; delete old jobs, or ask"
            " an administrator to free space."
        )


class TrackingUnavailable(AsgardError):
    """The response needs MLflow, which does not answer (503)."""

    problem_type = "tracking-unavailable"
    title = "MLflow unavailable"


class TrackingNotFound(AsgardError):
    """The requested model or run does not exist in MLflow (404)."""

    problem_type = "tracking-not-found"
    title = "Not found in MLflow"


class TrackingRejected(AsgardError):
    """MLflow rejected the request (422)."""

    problem_type = "tracking-rejected"
    title = "Rejected by MLflow"


class NoSuchFile(AsgardError):
    """A job has no such file, or it is not a file that can be read (404)."""

    problem_type = "file-not-found"

    def __init__(self, job_id: str, path: str, problem: str = "does not exist") -> None:
        super().__init__(
            f"{path} of job {job_id} {problem}; GET /mlops/training/jobs/{job_id}/files lists the"
            " files."
        )


class FilesNotKept(AsgardError):
    """The files that a job left behind are deleted (410)."""

    problem_type = "files-not-kept"
    title = "Files deleted"

    def __init__(self, job_id: str, deleted: str) -> None:
        super().__init__(f"The files of job {job_id} {deleted}.")
