"""Specifications of supervised processes, with common defaults.

Jobs, builds, isolation probes and the embedded MLflow server all run under the shim. Its
specification is a plain dictionary, because it is marshalled and read by an interpreter without
Asgard's dependencies. Use `process_spec` to create one.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from asgard_async.domain.status import ColdReason, Isolation
from asgard_async.supervisor.shim.limits import Limits
from asgard_async.supervisor.shim.process_spec import ProcessSpec
from asgard_async.supervisor.shim.sandbox import SandboxSpec

PRIVATE_UMASK = 0o077
READABLE_UMASK = 0o022
"""Umask for files that other users' processes read. The directories above them are private."""
MINIMAL_ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LANG": "C.UTF-8"}
"""Environment of a process that must not inherit the service's variables."""
LOG_LIMIT_BYTES = 16 << 20


def service_python(*arguments: str | Path) -> list[str]:
    """Return the command line of a program that needs only the standard library and Asgard's files.

    It runs in the service's interpreter, isolated (-I) and without site-packages (-S), which
    halves the start time.
    """
    return [sys.executable, "-I", "-S", *map(str, arguments)]


def process_spec(
    *,
    directory: Path,
    argv: Sequence[str],
    log: Path,
    working_directory: Path,
    environment: Mapping[str, str] = MINIMAL_ENVIRONMENT,
    umask: int = PRIVATE_UMASK,
    log_limit_bytes: int = LOG_LIMIT_BYTES,
    timeout_seconds: float = 0,
    grace_seconds: float = 0,
    address_space_bytes: int = 0,
    open_files: int = 0,
    locks: Sequence[Path] = (),
    inherit: Sequence[int] = (),
    isolation: Isolation | None = None,
    sandbox: SandboxSpec | None = None,
    limits: Limits | None = None,
    cold_reason: ColdReason | None = None,
) -> ProcessSpec:
    """Describe one attempt to run a process under the shim; see `ProcessSpec` for each field.

    `directory` must belong to the attempt alone. Zero means no limit. The keeper holds a shared
    lock on each file in `locks` while the attempt is running. The process inherits the descriptors
    in `inherit` with the same numbers, for example a listening socket.
    """
    spec = ProcessSpec(
        directory=str(directory),
        argv=list(argv),
        environment=dict(environment),
        working_directory=str(working_directory),
        umask=umask,
        log=str(log),
        log_limit=log_limit_bytes,
        timeout=timeout_seconds,
        grace=grace_seconds,
        memory_limit=address_space_bytes,
        open_files=open_files,
        held=[str(path) for path in locks],
        inherit=list(inherit),
    )
    if isolation is not None:
        spec["isolation"] = isolation.value
    if sandbox is not None:
        spec["sandbox"] = sandbox
    if limits is not None:
        spec["limits"] = limits
    if cold_reason is not None:
        spec["cold_reason"] = cold_reason.value
    return spec
