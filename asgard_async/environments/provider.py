"""Selection of a job's environment: the base environment, a cached one, or a new one."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from packaging.requirements import Requirement

from asgard_async.config import Config, EnvironmentsConfig
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.core.threads import run_in_daemon_thread
from asgard_async.environments.base import BaseEnvironment
from asgard_async.environments.builder import Build, Builder, BuildFailed
from asgard_async.environments.bytecode import Effort, compile_modules, full_effort, uncompiled
from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.environments.output import JobLogCopy
from asgard_async.environments.spec import EnvironmentSpec, environment_spec_for
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.uids import NoUidLeft

logger = logging.getLogger(__name__)

COMPILE_SECONDS = 20.0
"""The maximum time that jobs wait for the compilation of a new environment."""


@dataclass(kw_only=True)
class _SharedBuild:
    """A build, and the number of jobs that wait for it."""

    started: asyncio.Future[Build]
    done: asyncio.Task[None] = field(init=False)
    waiting: int = 0
    has_slot: bool = False
    """True if the build occupies one of the slots for concurrent builds."""

    async def started_or_done(self) -> None:
        """Wait until the build has started, or has failed to start."""
        futures: set[asyncio.Future[Any]] = {self.started, self.done}
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count one more waiting job inside the context."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


class EnvironmentProvider:
    """Finds or builds environments; concurrent requests for the same one share a build."""

    def __init__(
        self,
        *,
        config: EnvironmentsConfig,
        base: BaseEnvironment,
        cache: EnvironmentCache,
        builder: Builder,
        selector: IsolationSelector,
        compile_niceness: int,
    ) -> None:
        self._config = config
        self._base = base
        self._cache = cache
        self._builder = builder
        self._selector = selector
        self._builds: dict[str, _SharedBuild] = {}
        self._slots = asyncio.Semaphore(config.max_concurrent_builds)
        self._compiling = BackgroundTasks()
        self._compile_niceness = compile_niceness
        self._compilers = asyncio.Semaphore(1)

    def is_base(self, requirements: Sequence[str]) -> bool:
        """Return whether the base environment satisfies all requirements."""
        return not self._base.missing(map(Requirement, requirements))

    def spec_for(
        self, requirements: Sequence[str], *, job_id: str = "", adds_mlflow: bool = True
    ) -> EnvironmentSpec:
        """Return the environment for these requirements, reserved for the job if necessary."""
        return environment_spec_for(
            requirements,
            job_id=job_id,
            adds_mlflow=adds_mlflow,
            index_url=self._config.index_url,
            extra_index_urls=self._config.extra_index_urls,
        )

    def held(
        self, environment_spec: EnvironmentSpec
    ) -> contextlib.AbstractContextManager[CachedEnvironment | None]:
        """Protect a cached environment from deletion inside the context; None if it is missing."""
        return self._cache.held(environment_spec.key)

    def is_being_built(self, environment_spec: EnvironmentSpec) -> bool:
        """Return whether a build of an environment is running."""
        return self._builder.is_running(environment_spec)

    async def build(self, environment_spec: EnvironmentSpec, log: JobLogCopy | None = None) -> None:
        """Build an environment, or wait for its running build; the output goes to `log`.

        Cancellation does not stop the build, so that a restarted service can find it; see
        `abandon`.

        Raises:
            BuildFailed: the build ended without an environment.
        """
        build = self._builds.get(environment_spec.key) or self._start_build(environment_spec)
        with build.counted():
            if log is not None:
                await build.started_or_done()
                if build.started.done():
                    await log.follow(build.started.result().log, build.done)
            await asyncio.shield(build.done)

    async def wait_for_build(self, environment_spec: EnvironmentSpec) -> None:
        """Wait until no build of the environment is running, if it exists already."""
        if (build := self._builds.get(environment_spec.key)) is not None:
            with build.counted():
                await asyncio.wait({build.done})

    async def abandon(self, environment_spec: EnvironmentSpec) -> None:
        """Stop a build if no job is waiting for it any more."""
        build = self._builds.get(environment_spec.key)
        if build is None or build.waiting:
            return
        if not build.has_slot:
            build.done.cancel()
            return
        # its process may already be running, although it is not known yet
        await build.started_or_done()
        if build.started.done() and not build.waiting:
            await self._builder.stop(build.started.result())

    def sweep(self) -> None:
        """Remove files of finished builds and interrupted deletions. Call this before any build."""
        self._builder.sweep()
        self._cache.sweep()

    async def compile_uncompiled(self) -> None:
        """Resume compilation where an earlier service process stopped."""
        for environment in await asyncio.to_thread(uncompiled, self._cache):
            self._compile_later(environment.key)

    async def compiled(self) -> None:
        """Wait until all built environments are compiled."""
        await self._compiling.join()

    async def close(self) -> None:
        """Stop compiling, and stop waiting for builds, which keep running."""
        await self._compiling.stop()
        tasks = [build.done for build in self._builds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start_build(self, environment_spec: EnvironmentSpec) -> _SharedBuild:
        started: asyncio.Future[Build] = asyncio.get_running_loop().create_future()
        self._builds[environment_spec.key] = build = _SharedBuild(started=started)
        build.done = asyncio.create_task(
            self._run_build(environment_spec, build), name=f"build {environment_spec.key}"
        )
        build.done.add_done_callback(lambda task: self._finish_build(environment_spec, task))
        return build

    def _finish_build(self, environment_spec: EnvironmentSpec, task: asyncio.Task[None]) -> None:
        del self._builds[environment_spec.key]
        # logged here, since there may be no waiting job to receive the reason
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = str(error).partition("\n")[0]
            logger.info("environment %s could not be built: %s", environment_spec.key, reason)

    async def _run_build(
        self, environment_spec: EnvironmentSpec, shared_build: _SharedBuild
    ) -> None:
        async with self._slots:
            shared_build.has_slot = True
            try:
                build = await self._builder.start(environment_spec)
            except OSError as error:
                raise BuildFailed(f"The build could not be started: {error.strerror}.") from error
            except NoUidLeft as error:
                raise BuildFailed(f"The build could not be started: {error}.") from error
            shared_build.started.set_result(build)
            await self._builder.wait(build)
            # the jobs wait for this, because they would compile the same modules, each for itself
            await self._compile(environment_spec.key, full_effort(COMPILE_SECONDS))
        # keep the new environment: jobs that waited for it have not locked it yet
        limit = self._config.max_cache_mb << 20
        await run_in_daemon_thread(
            partial(self._cache.prune, max_bytes=limit, but=environment_spec.key)
        )
        # does nothing if it is compiled already
        if not environment_spec.moving:
            self._compile_later(environment_spec.key)

    def _compile_later(self, key: str) -> None:
        async def compile_in_turn() -> None:
            async with self._compilers:
                await self._compile(key, Effort(niceness=self._compile_niceness))

        self._compiling.start(f"compile {key}", compile_in_turn())

    async def _compile(self, key: str, effort: Effort) -> None:
        try:
            with self._selector.reserve_uid(highest=True) as uid:
                await compile_modules(self._cache, key, effort, uid=uid)
        except NoUidLeft as error:
            logger.info("environment %s is not compiled yet: %s", key, error)


def create_environment_provider(
    config: Config,
    data: DataDirectory,
    selector: IsolationSelector,
    *,
    enforcer: LimitEnforcer | None,
    compile_niceness: int,
) -> EnvironmentProvider:
    """Create the provider for a data directory; `asgard env` uses one alongside the service.

    Builds are limited if there is an `enforcer`.
    """
    cache = EnvironmentCache(data.environments)
    return EnvironmentProvider(
        config=config.environments,
        base=BaseEnvironment(),
        cache=cache,
        builder=Builder(
            cache,
            directory=data.builds,
            selector=selector,
            enforcer=enforcer,
            resource_limits=ResourceLimits.of_build(config.limits),
            uv_cache=data.cache / "uv",
            in_use=data.in_use,
            timeout_seconds=config.environments.build_timeout,
        ),
        selector=selector,
        compile_niceness=compile_niceness,
    )
