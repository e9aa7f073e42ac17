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
from asgard_async.core.tasks import Background
from asgard_async.environments.base import BaseEnvironment
from asgard_async.environments.builder import Build, Builder, BuildFailed
from asgard_async.environments.bytecode import compile_modules, uncompiled
from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.environments.output import JobLogCopy
from asgard_async.environments.spec import Recipe, recipe_for
from asgard_async.supervisor.limits.enforcer import Keeping
from asgard_async.supervisor.limits.resource_limits import Allowance
from asgard_async.supervisor.sandbox.selector import Ladder
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


class Environments:
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
        self._compiling = Background()
        self._compile_niceness = compile_niceness
        self._compilers = asyncio.Semaphore(1)

    def is_base(self, requirements: Sequence[str]) -> bool:
        """Whether the base environment satisfies them all."""
        return not self._base.missing(map(Requirement, requirements))

    def recipe(self, requirements: Sequence[str], *, job_id: str = "") -> Recipe:
        """What an environment for them is made of, if need be for that job alone."""
        return recipe_for(
            requirements,
            job_id=job_id,
            index_url=self._config.index_url,
            extra_index_urls=self._config.extra_index_urls,
        )

    def held(self, recipe: Recipe) -> contextlib.AbstractContextManager[CachedEnvironment | None]:
        """The environment of a recipe, kept from being thrown away; None if it has to be built."""
        return self._cache.held(recipe.key)

    async def build(self, recipe: Recipe, log: JobLogCopy | None = None) -> None:
        """Build the environment of a recipe, or wait for who does; its output goes to `log`.

        Cancelling leaves the build alone: a restarted service finds it. See `abandon`.

        Raises:
            BuildFailed: there is none at the end.
        """
        flight = self._flights.get(recipe.key) or self._take_off(recipe)
        with self._counted(flight):
            if log is not None:
                await flight.started_or_done()
                if flight.started.done():
                    await log.follow(flight.started.result().log, flight.done)
            await asyncio.shield(flight.done)

    async def abandon(self, recipe: Recipe) -> None:
        """Stop a build that nobody waits for any longer."""
        flight = self._flights.get(recipe.key)
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

    def _take_off(self, recipe: Recipe) -> _Flight:
        started: asyncio.Future[Build] = asyncio.get_running_loop().create_future()
        self._flights[recipe.key] = flight = _Flight(started=started)
        flight.done = asyncio.create_task(self._fly(recipe, flight), name=f"build {recipe.key}")
        flight.done.add_done_callback(lambda done: self._land(recipe, done))
        return flight

    def _land(self, recipe: Recipe, done: asyncio.Task[None]) -> None:
        del self._flights[recipe.key]
        # nobody may have waited any longer; who did has the reason
        if not done.cancelled() and (error := done.exception()) is not None:
            reason = str(error).partition("\n")[0]
            logger.info("environment %s was not built: %s", recipe.key, reason)

    async def _fly(self, recipe: Recipe, flight: _Flight) -> None:
        async with self._places:
            flight.has_place = True
            try:
                build = await self._builder.start(recipe)
            except OSError as error:
                raise BuildFailed(f"The build could not be started: {error.strerror}.") from error
            except NoUidLeft as error:
                raise BuildFailed(f"The build could not be started: {error}.") from error
            flight.started.set_result(build)
            await self._builder.wait(build)
        # its own is spared: those who waited for it do not hold it yet
        limit = self._config.max_cache_mb << 20
        await asyncio.to_thread(self._cache.prune, max_bytes=limit, but=recipe.key)
        if not recipe.moving:
            self._compile(recipe.key)

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


def create_environments(
    config: Config,
    data: DataDirectory,
    ladder: Ladder,
    *,
    keeping: Keeping | None,
    compile_niceness: int,
) -> Environments:
    """The environments of a data directory; `asgard env` uses them beside the service.

    Builds have limits where there is a `keeping` of them.
    """
    cache = EnvironmentCache(data.environments)
    return Environments(
        config=config.environments,
        base=BaseEnvironment(),
        cache=cache,
        builder=Builder(
            cache,
            directory=data.builds,
            ladder=ladder,
            keeping=keeping,
            allowance=Allowance.of_build(config.limits),
            uv_cache=data.cache / "uv",
            timeout_seconds=config.environments.build_timeout,
        ),
        compile_niceness=compile_niceness,
    )
