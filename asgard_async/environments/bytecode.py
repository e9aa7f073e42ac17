"""Compilation of an environment's modules to bytecode, which uv does not do on installation.

Jobs cannot write to their environments, so without this, every job would compile its imports again.
"""

import asyncio
import os
import signal
from pathlib import Path

from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.supervisor.process_spec import service_python
from asgard_async.supervisor.processes import identify
from asgard_async.supervisor.spawn import spawn

PROGRAM = Path(__file__).parent / "compile_program.py"


async def compile_modules(
    cache: EnvironmentCache, key: str, *, niceness: int, uid: int | None = None
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
        process = identify(_spawn(environment, niceness, uid))
        if process is None:
            return  # exited and reaped already
        try:
            await process.gone()
        except asyncio.CancelledError:
            process.signal(signal.SIGKILL)
            await process.gone()
            raise


def _spawn(environment: CachedEnvironment, niceness: int, uid: int | None) -> int:
    # the service reaps all children, so the program itself records its success
    command = service_python(
        *(PROGRAM, environment.modules, environment.compiled),
        *(str(os.getpid()), str(niceness), str(-1 if uid is None else uid)),
    )
    return spawn(command, {})


def uncompiled(cache: EnvironmentCache) -> list[CachedEnvironment]:
    """Return environments whose compilation has not finished, except those for a single job."""
    return [
        environment
        for environment in cache.all()
        if not environment.is_compiled and not environment.is_for_one_job
    ]
