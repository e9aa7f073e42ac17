"""Has the modules of an environment compiled once, since uv leaves that to who imports them.

A job may not write to its environment, and so would compile what it imports again and again.
"""

import asyncio
import os
import sys
from pathlib import Path

from asgard_async.execution.environments.cache import CachedEnvironment, EnvironmentCache

PROGRAM = Path(__file__).parent / "compile_program.py"


LOWEST_PRIORITY = 19


async def compile_modules(cache: EnvironmentCache, key: str, *, niceness: int = 0) -> None:
    """Compile an environment, unless that is done already or it has gone.

    It is in use meanwhile. Cancelling ends the work; what is compiled stays.
    """
    with cache.held(key) as environment:
        if environment is None or environment.is_compiled:
            return
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(PROGRAM)),
            *(str(environment.modules), str(os.getpid()), str(niceness)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if code == 0:
            environment.compiled.touch()


def uncompiled(cache: EnvironmentCache) -> list[CachedEnvironment]:
    """Those whose compiling was not finished, but for those of one job."""
    return [one for one in cache.all() if not one.is_compiled and not one.is_for_one_job]
