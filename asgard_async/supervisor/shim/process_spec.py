"""The specification of a process, read from a descriptor to keep secrets off the disk."""

import marshal
import os
from typing import NotRequired, TypedDict

from .limits import Limits
from .sandbox import SandboxSpec

MESSAGE_BYTES = 1 << 20
"""The maximum size of a message between the service and a fork server."""
SPEC = b"order"
"""The message to a keeper server that accompanies a specification's descriptors."""


class ProcessSpec(TypedDict):
    """One attempt to run a process; times in seconds, sizes in bytes, 0 for no limit.

    The service creates it with `supervisor.process_spec.process_spec`.
    """

    directory: str
    """The attempt's own directory, for lock, pid.json and exit.json."""
    argv: list[str]
    environment: dict[str, str]
    working_directory: str
    umask: int
    log: str
    log_limit: int
    timeout: float
    grace: float
    memory_limit: int
    """RLIMIT_AS of each process."""
    open_files: int
    """The soft limit, needed because the service has raised its own limit for its connections."""
    held: list[str]
    """Files on which the keeper holds a shared lock while it is running."""
    inherit: list[int]
    """Additional descriptors that the process inherits."""
    cold_reason: NotRequired[str]
    """The reason for a cold start, copied to pid.json; absent for a warm start."""
    isolation: NotRequired[str]
    """The isolation level, copied to pid.json."""
    sandbox: NotRequired[SandboxSpec]
    """The sandbox of the process; absent if it has none."""
    limits: NotRequired[Limits]
    """The limits of a job or a build; absent for other processes."""


def encode_spec(spec: ProcessSpec) -> bytes:
    """Encode for `read_spec` with marshal: pickle could run code, importing json takes 8 ms."""
    return marshal.dumps(dict(spec), 2)  # every supported Python reads format 2


def read_spec(descriptor: int) -> ProcessSpec:
    """Read a specification up to the end of `descriptor`."""
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    spec: ProcessSpec = marshal.loads(b"".join(parts))  # noqa: S302  # from the service itself
    return spec
