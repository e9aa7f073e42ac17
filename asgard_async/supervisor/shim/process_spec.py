"""What an attempt is told to do. It comes on a descriptor, so that no secret touches the disk."""

import marshal
import os
from typing import NotRequired, TypedDict

from .limits import Limits
from .sandbox import SandboxSpec

MESSAGE_BYTES = 1 << 20
"""The longest message between service and fork server."""
SPEC = b"order"
"""The message to a fork server that an order comes with."""


class ProcessSpec(TypedDict):
    """One attempt. Times are seconds, sizes bytes; 0 means no limit."""

    directory: str
    """The attempt's own: lock, pid.json and exit.json are made here."""
    argv: list[str]
    environment: dict[str, str]
    working_directory: str
    umask: int
    log: str
    log_limit: int
    timeout: float
    grace: float
    memory_limit: int
    """RLIMIT_AS, of each process."""
    open_files: int
    """The soft limit; the service has raised its own for its connections."""
    held: list[str]
    """Files of which the keeper holds a shared lock as long as it lives."""
    inherit: list[int]
    """Further descriptors that the job gets."""
    cold_reason: NotRequired[str]
    """Why it is started cold, to be kept in pid.json; absent when it is not."""
    isolation: NotRequired[str]
    """The name of the rung that it is started on, to be kept in pid.json."""
    sandbox: NotRequired[SandboxSpec]
    """What the program is shut in with; absent when it is not."""
    limits: NotRequired[Limits]
    """What the job may use; absent for what is no job."""


def encode_spec(spec: ProcessSpec) -> bytes:
    """Bytes for `read_order`. Not pickle: it could run code; not json: its import costs 8 ms."""
    return marshal.dumps(dict(spec), 2)  # format 2 is the same in every supported Python


def read_spec(descriptor: int) -> ProcessSpec:
    """Read an order up to the end of `descriptor`."""
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    spec: ProcessSpec = marshal.loads(b"".join(parts))  # noqa: S302  # from the service itself
    return spec
