"""Statuses, phases and end reasons of jobs. The values are part of the API."""

from enum import StrEnum


class Status(StrEnum):
    """The status that clients poll. A job ends as COMPLETED, FAILED or CANCELLED."""

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
    """A job's progress in more detail than its status, which is derived from the phase."""

    QUEUED = "queued"
    ENVIRONMENT = "environment"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RECORDING = "recording"
    FINISHED = "finished"


class Start(StrEnum):
    """The way in which a job's interpreter was started."""

    WARM = "warm"
    """Forked from an interpreter with preloaded modules."""
    COLD = "cold"
    """Started as a new interpreter."""


class Isolation(StrEnum):
    """Isolation levels, from the strongest to the weakest."""

    SANDBOX = "sandbox"
    """The job has a private file system and private process and IPC namespaces."""
    SANDBOX_LITE = "sandbox-lite"
    """The job can access only its own and the system's files, but sees all processes."""
    USER = "user"
    """The job runs as a separate user."""
    PROCESS = "process"
    """The job runs as the service's user; only limits and clean-up apply."""


class ColdReason(StrEnum):
    """The cause of a cold start."""

    OFF = "off"
    """Warm starts are turned off in the configuration."""
    REQUESTED = "requested"
    """The job was submitted with `warm: false`."""
    IMPORTS = "imports"
    """The job imports none of the preloaded packages."""
    MODULES = "modules"
    """The job contains a module with the same name as a preloaded one."""
    VARIABLES = "variables"
    """The job sets an environment variable that preloaded modules read on import."""
    REQUIREMENTS = "requirements"
    """The job's requirements include mlflow."""
    MEMORY_LIMIT = "memory_limit"
    """Preloaded modules would use too much of the job's memory limit."""
    NO_SERVER = "no_server"
    """The job's environment has no fork server: the maximum is reached, or it failed to start."""
    NOT_READY = "not_ready"
    """The fork server of the job's environment is still importing modules."""
    ISOLATION = "isolation"
    """The job's environment was built from requirements; it is imported only inside a sandbox."""
    SERVER_LOST = "server_lost"
    """The fork server exited while the job was being started."""


class Reason(StrEnum):
    """The reason why a job ended, set once."""

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
        """The final status that corresponds to this reason."""
        if self is Reason.SUCCEEDED:
            return Status.COMPLETED
        if self is Reason.CANCELLED:
            return Status.CANCELLED
        return Status.FAILED
