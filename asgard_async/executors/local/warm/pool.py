"""The fork servers of a service: one for each environment in use, up to a maximum.

The base environment's server runs as long as the service. Servers of other environments run while
jobs use them. A server that exits, grows too large or becomes too old is replaced.

    warm/<environment>/server.log         output of its imports
    warm/<environment>/{home,tmp,work}    HOME, TMPDIR and working directory during its imports
    warm/<environment>/cache              XDG_CACHE_HOME and the like during its imports

A fork server runs outside of the sandbox, so it must not read any file that a job can write. These
directories belong to it alone, and are emptied before each start.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from asgard_async.config import WarmConfig
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.backoff import Backoff
from asgard_async.core.files.locks import held
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.core.restart import Restart, run_with_restarts
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.domain.status import ColdReason
from asgard_async.executors.base import AttemptRequest
from asgard_async.executors.environment_variables import job_variables
from asgard_async.executors.local.interpreter import Interpreter
from asgard_async.executors.local.warm.eligibility import reason_of_job, reason_of_match
from asgard_async.executors.local.warm.server import ForkServer, WarmUpFailed

logger = logging.getLogger(__name__)

OLD_AFTER_SECONDS = 24 * 3600.0
BACKOFF = Backoff(first_seconds=1.0, longest_seconds=300.0, healthy_seconds=60.0)
LARGEST_LOG_BYTES = 1 << 20


class _Entry:
    """The fork server of one environment, across restarts."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.server: ForkServer | None = None
        """The ready server, if any."""
        self.warming_up = True
        self.used_at = time.monotonic()
        self.grown = asyncio.Event()

    @property
    def is_base(self) -> bool:
        return self.interpreter.is_base

    @property
    def name(self) -> str:
        return self.interpreter.name


class WarmServers:
    """The pool of fork servers: keeps them running and chooses one for each job."""

    def __init__(self, config: WarmConfig, *, data: DataDirectory, base_alone: bool) -> None:
        """With `base_alone`, only the base environment has a server, because code in other
        environments is not trusted outside of a job's sandbox."""
        self._config = config
        self._data = data
        self._base_alone = base_alone
        self._preload = frozenset(name.partition(".")[0] for name in config.preload)
        self._entries: dict[str, _Entry] = {}
        self._tasks = BackgroundTasks()
        self._starts: Counter[ColdReason | None] = Counter()

    def start(self) -> None:
        """Start the base environment's server in the background."""
        if self._config.enabled:
            self._open(_Entry(Interpreter()))

    async def close(self) -> None:
        """Stop all servers; their jobs keep running."""
        await self._tasks.stop()

    # --- metrics --------------------------------------------------------------------------

    @property
    def starts(self) -> Mapping[ColdReason | None, int]:
        """The number of started jobs by reason of a cold start; the key None is for warm starts."""
        return self._starts

    @property
    def servers(self) -> int:
        """The number of fork servers, including those that are still importing modules."""
        return sum(entry.server is not None or entry.warming_up for entry in self._entries.values())

    @property
    def ready(self) -> int:
        """The number of fork servers that are ready."""
        return sum(entry.server is not None for entry in self._entries.values())

    def count(self, reason: ColdReason | None) -> None:
        """Count the start of a job; `reason` is None for a warm one."""
        self._starts[reason] += 1

    # --- selection ------------------------------------------------------------------------

    def choose(
        self,
        request: AttemptRequest,
        interpreter: Interpreter,
        modules: frozenset[str],
        variables: Mapping[str, str],
        memory_limit_bytes: int,
    ) -> ForkServer | ColdReason:
        """Return the server to fork a job from, or the reason for its cold start.

        `modules` are the modules in the script's directory, which shadow installed modules of the
        same name. `variables` are all environment variables of the job. `memory_limit_bytes` limits
        its address space; 0 for no limit.

        If the environment has no server yet, this starts one for later jobs.
        """
        if not self._config.enabled:
            return ColdReason.OFF
        if (reason := reason_of_job(request, interpreter)) is not None:
            return reason
        if self._base_alone and not interpreter.is_base:
            return ColdReason.ISOLATION
        entry = self._entries.get(interpreter.name)
        if entry is None or entry.server is None:
            if request.imports is not None and not request.imports & self._preload:
                return ColdReason.IMPORTS
            return self._reason_without_server(interpreter, entry)
        entry.used_at = time.monotonic()
        reason = reason_of_match(request, modules, variables, entry.server, memory_limit_bytes)
        if reason is not None:
            return reason
        if entry.server.private_bytes() > self._config.max_memory_mb << 20:
            entry.grown.set()
        return entry.server

    def _reason_without_server(self, interpreter: Interpreter, entry: _Entry | None) -> ColdReason:
        if entry is None:
            if interpreter.is_base or not self._evict_for_one():
                return ColdReason.NO_SERVER
            entry = _Entry(interpreter)
            self._open(entry)
        entry.used_at = time.monotonic()
        return ColdReason.NOT_READY if entry.warming_up else ColdReason.NO_SERVER

    def _evict_for_one(self) -> bool:
        if len(self._entries) < self._config.max_servers:
            return True
        others = [entry for entry in self._entries.values() if not entry.is_base]
        if not others:
            return False
        oldest = min(others, key=lambda entry: entry.used_at)
        del self._entries[oldest.name]  # now, since another job may start before the server stops
        self._tasks.cancel(_task_name(oldest))
        return True

    # --- supervision ----------------------------------------------------------------------

    def _open(self, entry: _Entry) -> None:
        self._entries[entry.name] = entry
        self._tasks.start(_task_name(entry), self._keep(entry))

    async def _keep(self, entry: _Entry) -> None:
        """Keep an environment's server running until it has been idle for too long."""
        try:
            with contextlib.ExitStack() as stack:
                for lock in entry.interpreter.locks:
                    stack.enter_context(held(lock))
                await run_with_restarts(partial(self._run_once, entry), BACKOFF)
        finally:
            if entry.server is not None:
                entry.server.close()
            if self._entries.get(entry.name) is entry:
                del self._entries[entry.name]

    async def _run_once(self, entry: _Entry) -> Restart:
        try:
            await self._warm_up(entry)
            restart = await self._until_over(entry)
        except WarmUpFailed as error:
            logger.warning("fork server of %s failed: %s", entry.name, error)
            restart = Restart.AFTER_PAUSE
        if restart is Restart.AFTER_PAUSE:
            if entry.server is not None:
                entry.server.close()
            entry.server, entry.warming_up = None, False
        return restart

    async def _warm_up(self, entry: _Entry) -> None:
        """Start a server; once it is ready, it replaces the previous one."""
        entry.warming_up = True
        directory = self._data.warm / entry.name
        cache = self._data.cache_of_fork_server(entry.name)
        variables = job_variables(
            home=directory / "home",
            temporary=directory / "tmp",
            cache=cache,
            python=entry.interpreter.python,
        )
        try:
            await asyncio.to_thread(_prepare, directory, cache)
            server = ForkServer(entry.interpreter.python, directory, variables)
        except OSError as error:
            raise WarmUpFailed(f"it could not be started: {error}") from error
        try:
            facts = await server.ready(self._config.preload)
            if (size := server.private_bytes()) > self._config.max_memory_mb << 20:
                raise WarmUpFailed(
                    f"it uses {size >> 20} MiB, more than [warm] max_memory_mb; preload less"
                )
        except BaseException:
            server.close()
            raise
        previous, entry.server = entry.server, server
        entry.warming_up = False
        entry.grown.clear()
        if previous is not None:
            previous.close()
        logger.info(
            "fork server of %s is ready after %.1f s%s",
            entry.name,
            facts.seconds,
            f"; modules not found: {', '.join(facts.failed)}" if facts.failed else "",
        )

    async def _until_over(self, entry: _Entry) -> Restart:
        assert entry.server is not None  # noqa: S101  # set by `_warm_up`
        idle, old_at = self._config.idle_seconds, time.monotonic() + OLD_AFTER_SECONDS
        ended = asyncio.create_task(entry.server.ended())
        grown = asyncio.create_task(entry.grown.wait())
        try:
            while True:
                idle_at = math.inf if entry.is_base else entry.used_at + idle
                await asyncio.wait(
                    {ended, grown},
                    timeout=max(0.0, min(idle_at, old_at) - time.monotonic()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if ended.done():
                    logger.warning("fork server of %s exited", entry.name)
                    return Restart.AFTER_PAUSE
                if grown.done() or time.monotonic() >= old_at:
                    return Restart.AT_ONCE
                if not entry.is_base and time.monotonic() >= entry.used_at + idle:
                    return Restart.NEVER
        finally:
            ended.cancel()
            grown.cancel()
            await asyncio.gather(ended, grown, return_exceptions=True)


def _task_name(entry: _Entry) -> str:
    return f"fork server {entry.name}"


def _prepare(directory: Path, cache: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (cache, *(directory / name for name in ("home", "tmp", "work"))):
        path.mkdir(mode=0o700, exist_ok=True)
        # the directory itself stays: a server that is being replaced still has it as its own
        for file in path.iterdir():
            remove_tree(file)
    log = directory / "server.log"
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.unlink()
