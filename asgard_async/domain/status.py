"""States of a job and reasons for its end. The values are part of the wire format."""

from enum import StrEnum


class Status(StrEnum):
    """The state that clients poll for. Unless cancelled, a job ends as COMPLETED or FAILED."""

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
    """The stage of a job. The status follows from it and is coarser."""

    QUEUED = "queued"
    ENVIRONMENT = "environment"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RECORDING = "recording"
    FINISHED = "finished"


class Start(StrEnum):
    """The kind of start of a job's interpreter."""

    WARM = "warm"
    """Forked from an interpreter with preloaded imports."""
    COLD = "cold"
    """Started as a new interpreter."""


class Isolation(StrEnum):
    """Isolation levels of jobs, strongest first."""

    SANDBOX = "sandbox"
    """Separate file system, process and IPC namespaces."""
    SANDBOX_LITE = "sandbox-lite"
    """Access to its own and the system's files only; other processes are visible."""
    USER = "user"
    """A separate user."""
    PROCESS = "process"
    """The service's user; only limits and clean-up apply."""


class ColdReason(StrEnum):
    """Reasons for a cold start."""

    OFF = "off"
    """Warm starts are turned off in the configuration."""
    REQUESTED = "requested"
    """The job was submitted with `warm: false`."""
    IMPORTS = "imports"
    """The job imports none of the preloaded packages."""
    MODULES = "modules"
    """The job contains a module with the name of a preloaded one."""
    VARIABLES = "variables"
    """One of its environment variables is read during imports."""
    NOTEBOOK = "notebook"
    """It is a notebook, whose kernel is an interpreter of its own."""
    REQUIREMENTS = "requirements"
    """Its requirements include mlflow."""
    MEMORY_LIMIT = "memory_limit"
    """The preloaded imports would take too much of its memory limit."""
    NO_SERVER = "no_server"
    """Its environment has no fork server: the limit is reached, or it failed to start."""
    NOT_READY = "not_ready"
    """The fork server of the job's environment is still importing modules."""
    ISOLATION = "isolation"
    """Its environment was built for the job, so it is imported only inside a job's sandbox."""
    SERVER_LOST = "server_lost"
    """The fork server exited during the start."""


class Reason(StrEnum):
    """The reason for a job's end; set once."""

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
        """The final status of a job with this reason."""
        if self is Reason.SUCCEEDED:
            return Status.COMPLETED
        if self is Reason.CANCELLED:
            return Status.CANCELLED
        return Status.FAILED
