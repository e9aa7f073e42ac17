"""The environment that a job's requirements ask for: the base one, a cached one, or a new one."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import Requirement

from asgard_async.config import Config, EnvironmentsConfig
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.environments.base import BaseEnvironment
from asgard_async.environments.builder import Build, Builder, BuildFailed
from asgard_async.environments.bytecode import compile_modules, uncompiled
from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.environments.output import JobLogCopy
from asgard_async.environments.spec import EnvironmentSpec, environment_spec_for
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.uids import NoUidLeft

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Flight:
    """One build and how many wait for it."""

    started: asyncio.Future[Build]
    done: asyncio.Task[None] = field(init=False)
    waiting: int = 0
    has_place: bool = False
    """Whether it is one of those that may run at once."""

    async def started_or_done(self) -> None:
        """Wait until it is started, or cannot be."""
        either: set[asyncio.Future[Any]] = {self.started, self.done}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)


class EnvironmentProvider:
    """Finds or builds environments. Who asks for the same one shares a build."""

    def __init__(
        self,
        *,
        config: EnvironmentsConfig,
        base: BaseEnvironment,
        cache: EnvironmentCache,
        builder: Builder,
        compile_niceness: int,
    ) -> None:
        self._config = config
        self._base = base
        self._cache = cache
        self._builder = builder
        self._flights: dict[str, _Flight] = {}
        self._places = asyncio.Semaphore(config.max_concurrent_builds)
        self._compiling = BackgroundTasks()
        self._compile_niceness = compile_niceness
        self._compilers = asyncio.Semaphore(1)

    def is_base(self, requirements: Sequence[str]) -> bool:
        """Whether the base environment satisfies them all."""
        return not self._base.missing(map(Requirement, requirements))

    def spec_for(self, requirements: Sequence[str], *, job_id: str = "") -> EnvironmentSpec:
        """What an environment for them is made of, if need be for that job alone."""
        return environment_spec_for(
            requirements,
            job_id=job_id,
            index_url=self._config.index_url,
            extra_index_urls=self._config.extra_index_urls,
        )

    def held(
        self, environment_spec: EnvironmentSpec
    ) -> contextlib.AbstractContextManager[CachedEnvironment | None]:
        """The environment of a recipe, kept from being thrown away; None if it has to be built."""
        return self._cache.held(environment_spec.key)

    async def build(self, environment_spec: EnvironmentSpec, log: JobLogCopy | None = None) -> None:
        """Build the environment of a recipe, or wait for who does; its output goes to `log`.

        Cancelling leaves the build alone: a restarted service finds it. See `abandon`.

        Raises:
            BuildFailed: there is none at the end.
        """
        flight = self._flights.get(environment_spec.key) or self._take_off(environment_spec)
        with self._counted(flight):
            if log is not None:
                await flight.started_or_done()
                if flight.started.done():
                    await log.follow(flight.started.result().log, flight.done)
            await asyncio.shield(flight.done)

    async def abandon(self, environment_spec: EnvironmentSpec) -> None:
        """Stop a build that nobody waits for any longer."""
        flight = self._flights.get(environment_spec.key)
        if flight is None or flight.waiting:
            return
        if not flight.has_place:
            flight.done.cancel()
            return
        # perhaps its process runs already, and nobody knows it yet
        await flight.started_or_done()
        if flight.started.done() and not flight.waiting:
            await self._builder.stop(flight.started.result())

    def sweep(self) -> None:
        """Remove what builds left that are over, and what removals left; before any is started."""
        self._builder.sweep()
        self._cache.sweep()

    async def compile_uncompiled(self) -> None:
        """Go on compiling where an earlier service was stopped."""
        for environment in await asyncio.to_thread(uncompiled, self._cache):
            self._compile(environment.key)

    async def compiled(self) -> None:
        """Wait until all that has been built is compiled, too."""
        await self._compiling.join()

    async def close(self) -> None:
        """Watch no build any longer; those that run go on. Compiling stops."""
        await self._compiling.stop()
        flights = [flight.done for flight in self._flights.values()]
        for done in flights:
            done.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _take_off(self, environment_spec: EnvironmentSpec) -> _Flight:
        started: asyncio.Future[Build] = asyncio.get_running_loop().create_future()
        self._flights[environment_spec.key] = flight = _Flight(started=started)
        flight.done = asyncio.create_task(
            self._fly(environment_spec, flight), name=f"build {environment_spec.key}"
        )
        flight.done.add_done_callback(lambda done: self._land(environment_spec, done))
        return flight

    def _land(self, environment_spec: EnvironmentSpec, done: asyncio.Task[None]) -> None:
        del self._flights[environment_spec.key]
        # nobody may have waited any longer; who did has the reason
        if not done.cancelled() and (error := done.exception()) is not None:
            reason = str(error).partition("\n")[0]
            logger.info("environment %s was not built: %s", environment_spec.key, reason)

    async def _fly(self, environment_spec: EnvironmentSpec, flight: _Flight) -> None:
        async with self._places:
            flight.has_place = True
            try:
                build = await self._builder.start(environment_spec)
            except OSError as error:
                raise BuildFailed(f"The build could not be started: {error.strerror}.") from error
            except NoUidLeft as error:
                raise BuildFailed(f"The build could not be started: {error}.") from error
            flight.started.set_result(build)
            await self._builder.wait(build)
        # its own is spared: those who waited for it do not hold it yet
        limit = self._config.max_cache_mb << 20
        await asyncio.to_thread(self._cache.prune, max_bytes=limit, but=environment_spec.key)
        if not environment_spec.moving:
            self._compile(environment_spec.key)

    def _compile(self, key: str) -> None:
        async def compile_in_turn() -> None:
            async with self._compilers:
                await compile_modules(self._cache, key, niceness=self._compile_niceness)

        self._compiling.start(f"compile {key}", compile_in_turn())

    @staticmethod
    @contextlib.contextmanager
    def _counted(flight: _Flight) -> Iterator[None]:
        flight.waiting += 1
        try:
            yield
        finally:
            flight.waiting -= 1


def create_environment_provider(
    config: Config,
    data: DataDirectory,
    selector: IsolationSelector,
    *,
    enforcer: LimitEnforcer | None,
    compile_niceness: int,
) -> EnvironmentProvider:
    """The environments of a data directory; `asgard env` uses them beside the service.

    Builds have limits where there is a `keeping` of them.
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
            timeout_seconds=config.environments.build_timeout,
        ),
        compile_niceness=compile_niceness,
    )
