"""The names of what a job can be in, and why it ended. Values are part of the wire contract."""

from enum import StrEnum


class Status(StrEnum):
    """What a client polls for. A job that was not cancelled ends in COMPLETED or FAILED."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in FINISHED


FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Phase(StrEnum):
    """Where on its way a job is; finer than the status, which follows from it."""

    QUEUED = "queued"
    ENVIRONMENT = "environment"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RECORDING = "recording"
    FINISHED = "finished"

    @property
    def holds_process(self) -> bool:
        """Whether a process of the job may be alive."""
        return self in {Phase.STARTING, Phase.RUNNING, Phase.STOPPING}


class Reason(StrEnum):
    """Why a job ended; set once, at its end."""

    SUCCEEDED = "succeeded"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    ENVIRONMENT_FAILED = "environment_failed"
    START_FAILED = "start_failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def status(self) -> Status:
        """The final status that goes with this reason."""
        if self is Reason.SUCCEEDED:
            return Status.COMPLETED
        if self is Reason.CANCELLED:
            return Status.CANCELLED
        return Status.FAILED
