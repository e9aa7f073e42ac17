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


class Start(StrEnum):
    """How a job's interpreter came to be."""

    WARM = "warm"
    """Forked from one that has its imports done."""
    COLD = "cold"


class Isolation(StrEnum):
    """What keeps a job from harming others: a ladder, the best first."""

    SANDBOX = "sandbox"
    """A file system, processes and IPC of its own."""
    SANDBOX_LITE = "sandbox-lite"
    """It reaches no other files than its own and the system's, but sees all processes."""
    USER = "user"
    """A user of its own."""
    PROCESS = "process"
    """The service's own user, and nothing but limits and clearing up."""


class ColdReason(StrEnum):
    """Why a job started cold."""

    OFF = "off"
    """Warm starts are turned off in the configuration."""
    REQUESTED = "requested"
    """It was submitted with `warm: false`."""
    IMPORTS = "imports"
    """It imports nothing of what is preloaded."""
    MODULES = "modules"
    """It brings a module of the same name as one that is imported already."""
    VARIABLES = "variables"
    """One of its environment variables is read while modules are imported."""
    REQUIREMENTS = "requirements"
    """They name an mlflow of their own."""
    MEMORY_LIMIT = "memory_limit"
    """What is preloaded would take too much of the memory that it may use."""
    NO_SERVER = "no_server"
    """Its environment has no fork server: too many others have one, or it cannot be had."""
    NOT_READY = "not_ready"
    """The fork server of its environment is still importing."""
    ISOLATION = "isolation"
    """Its environment was built for it, and is never imported outside of a job's walls."""
    SERVER_LOST = "server_lost"
    """The fork server ended in the moment of the start."""


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
