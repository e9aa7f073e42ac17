"""Has the modules of an environment compiled once, since uv leaves that to who imports them.

A job may not write to its environment, and so would compile what it imports again and again.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.supervisor.processes import identify

PROGRAM = Path(__file__).parent / "compile_program.py"


async def compile_modules(cache: EnvironmentCache, key: str, *, niceness: int) -> None:
    """Compile an environment, unless that is done already or it has gone.

    It is in use meanwhile. Cancelling ends the work; what is compiled stays.
    """
    with cache.held(key) as environment:
        if environment is None or environment.is_compiled:
            return
        process = identify(_spawn(environment, niceness))
        if process is None:
            return  # ended and reaped already
        try:
            await process.gone()
        except asyncio.CancelledError:
            process.signal(signal.SIGKILL)
            await process.gone()
            raise


def _spawn(environment: CachedEnvironment, niceness: int) -> int:
    # by hand: the service reaps every child, so the program itself notes that it came to its end
    return os.posix_spawn(
        sys.executable,
        [
            *(sys.executable, "-I", "-S", str(PROGRAM)),
            *(str(environment.modules), str(environment.compiled)),
            *(str(os.getpid()), str(niceness)),
        ],
        {},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)
        ],
    )


def uncompiled(cache: EnvironmentCache) -> list[CachedEnvironment]:
    """Those whose compiling was not finished, but for those of one job."""
    return [one for one in cache.all() if not one.is_compiled and not one.is_for_one_job]
