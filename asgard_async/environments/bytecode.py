"""Compilation of an environment's modules to bytecode, which uv does not do on installation.

Jobs cannot write to their environments, so without this, every job would compile its imports again.
A build therefore ends with the compilation, on all processors. If this takes long, the jobs start,
and the rest is compiled next to them, at low priority.
"""

import asyncio
import json
import os
import signal
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.environments.compile_program import Plan
from asgard_async.supervisor.process_spec import service_python
from asgard_async.supervisor.processes import identify
from asgard_async.supervisor.spawn import spawn

PROGRAM = Path(__file__).parent / "compile_program.py"
MAX_SECONDS = 1800.0
"""Time limit for an environment. Modules that are not compiled by then remain uncompiled."""
MAX_PROCESSES = 8


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The resources for a compilation."""

    niceness: int = 0
    seconds: float = MAX_SECONDS
    processes: int = 1


def full_effort(seconds: float = MAX_SECONDS) -> Effort:
    """Return an effort with all processors at normal priority."""
    processors = len(os.sched_getaffinity(0))
    return Effort(seconds=seconds, processes=min(processors, MAX_PROCESSES))


async def compile_modules(
    cache: EnvironmentCache, key: str, effort: Effort, *, uid: int | None = None
) -> None:
    """Compile an environment, unless it is already compiled or was deleted.

    `uid` is the user that runs the compiler, which reads untrusted sources; None for this process's
    user.

    The environment counts as in use during the compilation. Cancellation stops the compilation and
    keeps modules that are already compiled.
    """
    with cache.held(key) as environment:
        if environment is None or environment.is_compiled:
            return
        process = identify(_spawn(environment, effort, uid))
        if process is None:
            return  # exited and reaped already
        try:
            await process.gone()
        except asyncio.CancelledError:
            process.signal(signal.SIGKILL)
            await process.gone()
            raise


def _spawn(environment: CachedEnvironment, effort: Effort, uid: int | None) -> int:
    # the service reaps all children, so the program itself records its success
    command = service_python(
        *(PROGRAM, environment.modules, environment.compiled),
        *(str(os.getpid()), json.dumps(plan_for(effort, uid=uid))),
    )
    return spawn(command, {})


def plan_for(effort: Effort, *, uid: int | None) -> Plan:
    """Return the compiler's instructions."""
    return Plan(
        niceness=effort.niceness,
        uid=-1 if uid is None else uid,
        seconds=effort.seconds,
        is_final=effort.seconds >= MAX_SECONDS,
        processes=effort.processes,
        own_packages=sysconfig.get_path("purelib"),
    )


def uncompiled(cache: EnvironmentCache) -> list[CachedEnvironment]:
    """Return environments whose compilation has not finished, except those for a single job."""
    return [
        environment
        for environment in cache.all()
        if not environment.is_compiled and not environment.is_for_one_job
    ]
