"""The executor for this machine: each attempt is a subprocess under a shim."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from prometheus_client.registry import Collector

from asgard_async.config import LimitsConfig
from asgard_async.core import open_files
from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.core.threads import DaemonThreads
from asgard_async.domain.attempt import AttemptId, End, Ended
from asgard_async.domain.job import Started
from asgard_async.domain.resources import ResourceRequest
from asgard_async.domain.status import ColdReason, Isolation
from asgard_async.environments.builder import BuildFailed
from asgard_async.environments.cache import CachedEnvironment
from asgard_async.environments.output import JobLogCopy
from asgard_async.environments.provider import EnvironmentProvider
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.executors.base import AttemptRequest, CannotStart, EnvironmentFailed
from asgard_async.executors.environment_variables import job_variables
from asgard_async.executors.local.directories import (
    HOME,
    LOG_NAME,
    TEMPORARY,
    WORK,
    AttemptDirectories,
    own_directories,
)
from asgard_async.executors.local.interpreter import Interpreter
from asgard_async.executors.local.job_files import LocalJobFiles
from asgard_async.executors.local.metrics import WarmCollector
from asgard_async.executors.local.notebooks.source import notebook_program
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.logs.file_source import FileLogSource
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.keeper_server import ColdServers
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.mechanisms import Mechanism
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.process_spec import READABLE_UMASK, process_spec
from asgard_async.supervisor.sandbox.attempt_sandbox import AttemptSandbox, attempt_sandbox
from asgard_async.supervisor.sandbox.selector import IsolationSelector

MAX_REMOVALS = 2
"""Jobs whose files are deleted at the same time."""
MAX_PREPARATIONS = 4
"""Jobs whose archives are unpacked at the same time."""
NO_SHIM = (
    "its supervising process exited at once. The machine may have run out of processes, memory or"
    " disk space; see shim.log of this attempt, and retry the job once the cause is fixed"
)


class LocalExecutor:
    """Runs attempts below `jobs_dir`. `in_use` is locked (shared) while any attempt is running."""

    def __init__(
        self,
        *,
        jobs_dir: Path,
        files: LocalJobFiles,
        log_limit_bytes: int,
        archive_limits: ArchiveLimits,
        in_use: Path,
        limits: LimitsConfig,
        environments: EnvironmentProvider,
        warm: WarmServers,
        selector: IsolationSelector,
        enforcer: LimitEnforcer,
    ) -> None:
        self._directories = AttemptDirectories(jobs_dir, archive_limits)
        self.logs = FileLogSource(jobs_dir, LOG_NAME)
        self.files = files
        self._log_limit = log_limit_bytes
        self._in_use = in_use
        self._limits = limits
        self._environments = environments
        self._warm = warm
        self._selector = selector
        self._enforcer = enforcer
        self._cold = ColdServers()
        self._removals = DaemonThreads(MAX_REMOVALS)
        self._preparations = DaemonThreads(MAX_PREPARATIONS)

    def open(self) -> None:
        """Start watching the logs of jobs."""
        self.logs.open()

    def close(self) -> None:
        """Release the resources used to start attempts and read logs; attempts keep running."""
        self._cold.close()
        self.logs.close()

    @property
    def collectors(self) -> Sequence[Collector]:
        """See `Executor.collectors`."""
        return [WarmCollector(self._warm)]

    @property
    def problem(self) -> str | None:
        """See `Executor.problem`: jobs cannot be isolated as configured."""
        return self._selector.problem

    @property
    def isolation(self) -> Isolation | None:
        """See `Executor.isolation`."""
        return self._selector.level

    @property
    def mechanisms(self) -> Mapping[str, Mechanism]:
        """See `Executor.mechanisms`."""
        return self._enforcer.mechanisms

    def prewarm(self) -> None:
        """See `Executor.prewarm`: start the fork servers."""
        self._warm.start()

    async def ready(self) -> None:
        """See `Executor.ready`."""
        await self._selector.available()

    def limits(self, resources: ResourceRequest) -> ResourceLimits:
        """See `Executor.limits`."""
        return ResourceLimits.of(self._limits, resources)

    # --- environments ---------------------------------------------------------------------

    def environment_for(
        self,
        requirements: Sequence[str],
        *,
        job_id: str = "",
        imports: frozenset[str] | None = None,
    ) -> EnvironmentSpec | None:
        """See `Executor.environment_for`.

        A program that does not import mlflow gets an environment without it, unless the one with
        mlflow is there already, as from `[environments] prebuild`, or is being built.
        """
        if self._environments.is_base(requirements):
            return None
        with_mlflow = self._environments.spec_for(requirements, job_id=job_id)
        if imports is None or "mlflow" in imports:
            return with_mlflow
        with self._environments.held(with_mlflow) as cached:
            if cached is not None or self._environments.is_being_built(with_mlflow):
                return with_mlflow
        return self._environments.spec_for(requirements, job_id=job_id, adds_mlflow=False)

    @contextlib.asynccontextmanager
    async def environment(
        self, environment: EnvironmentSpec, *, job_id: str
    ) -> AsyncIterator[None]:
        """See `Executor.environment`."""
        while True:
            with self._environments.held(environment) as cached:
                if cached is not None:
                    # its modules may still be compiled
                    await self._environments.wait_for_build(environment)
                    yield
                    return
            log = JobLogCopy(self.logs.path_of(job_id), limit_bytes=self._log_limit)
            try:
                await self._environments.build(environment, log)
            except BuildFailed as error:
                raise EnvironmentFailed(str(error)) from error

    async def abandon(self, environment: EnvironmentSpec) -> None:
        """See `Executor.abandon`."""
        await self._environments.abandon(environment)

    # --- attempts -------------------------------------------------------------------------

    async def start(self, request: AttemptRequest) -> datetime | None:
        """See `Executor.start`."""
        directories, for_all_users = self._directories, self._selector.needs_traversal
        # an archive may have 100,000 files; a new thread for each script would cost too much
        in_thread = asyncio.to_thread if request.archive is None else self._preparations.run
        modules = await in_thread(
            partial(directories.prepare, request, for_all_users=for_all_users)
        )
        with contextlib.ExitStack() as stack:
            interpreter = Interpreter(environment=self._cached(request.environment, stack))
            stack.enter_context(self._enforcer.starting())
            entering_sandbox = attempt_sandbox(
                self._selector,
                python=interpreter.python,
                environment=interpreter.directory,
                owner=request.owner,
                own=own_directories(self._directories.of(request.attempt)),
                temporary=self._directories.of(request.attempt) / TEMPORARY,
            )
            sandbox = await in_thread(partial(stack.enter_context, entering_sandbox))
            return await self._start(request, interpreter, modules, sandbox)

    def _cached(
        self, environment: EnvironmentSpec | None, stack: contextlib.ExitStack
    ) -> CachedEnvironment | None:
        if environment is None:
            return None
        cached = stack.enter_context(self._environments.held(environment))
        if cached is None:
            raise CannotStart("its environment was removed before the job started. Retry the job")
        return cached

    async def _start(
        self,
        request: AttemptRequest,
        interpreter: Interpreter,
        modules: frozenset[str],
        sandbox: AttemptSandbox,
    ) -> datetime | None:
        directory = self._directories.of(request.attempt)
        variables = {
            **job_variables(
                home=directory / HOME,
                temporary=sandbox.temporary,
                cache=sandbox.cache,
                python=interpreter.python,
            ),
            **request.variables,
        }
        resource_limits = self.limits(request.resources)
        memory_limit = self._enforcer.address_space_bytes(resource_limits)
        server = self._warm.choose(request, interpreter, modules, variables, memory_limit)
        host_cache = sandbox.host_cache
        spec = process_spec(
            directory=directory,
            argv=[str(interpreter.python), *_program(request), *request.arguments],
            environment=variables,
            working_directory=directory / WORK,
            umask=READABLE_UMASK,  # as for a script that is started in a terminal
            log=self.logs.path_of(request.attempt.job_id),
            log_limit_bytes=self._log_limit,
            timeout_seconds=request.timeout,
            grace_seconds=request.grace,
            address_space_bytes=memory_limit,
            open_files=open_files.soft_limit_of_jobs(),
            locks=[self._in_use, *interpreter.locks, *sandbox.locks],
            isolation=sandbox.level,
            sandbox=sandbox.spec,
            limits=self._enforcer.limits(
                resource_limits,
                directory,
                own=own_directories(directory),
                caches=[host_cache] if host_cache is not None else [],
            ),
            cold_reason=server if isinstance(server, ColdReason) else None,
        )
        keeper_server = self._cold.server() if isinstance(server, ColdReason) else server
        started_at = await Attempt(directory).start(spec, keeper_server)
        # read from the specification, because `Attempt.start` adds a reason if the server is lost
        self._warm.count(ColdReason(spec["cold_reason"]) if "cold_reason" in spec else None)
        return started_at

    async def wait(self, attempt: AttemptId) -> Ended:
        """See `Executor.wait`."""
        ended = await (await self._existing(attempt)).wait()
        await asyncio.to_thread(self._directories.reclaim, attempt)
        return replace(ended, error=NO_SHIM) if ended.end is End.NOT_STARTED else ended

    async def started(self, attempt: AttemptId) -> Started | None:
        """See `Executor.started`."""
        return await asyncio.to_thread(Attempt(self._directories.of(attempt)).started)

    async def stop(self, attempt: AttemptId) -> None:
        """See `Executor.stop`."""
        await (await self._existing(attempt)).stop()

    async def remove(self, job_id: str) -> None:
        """See `Executor.remove`."""
        await self._removals.run(partial(self.files.remove_all, job_id))

    async def _existing(self, attempt: AttemptId) -> Attempt:
        return Attempt(await asyncio.to_thread(self._directories.existing, attempt))


def _program(request: AttemptRequest) -> list[str]:
    """Return the arguments of the interpreter that name the program."""
    script = _as_argument(request.script_name)
    if not request.is_notebook:
        return [script]
    # -P: no module in the working directory replaces one of the program that runs the notebook
    return ["-P", "-c", notebook_program(), script]


def _as_argument(script_name: str) -> str:
    """Return the script as `sys.argv[0]`; a name that looks like an option becomes a path."""
    return f"./{script_name}" if script_name.startswith("-") else script_name
