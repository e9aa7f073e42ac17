"""The environments of jobs, as part of the application."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from asgard_async.config.component import CONFIG, DATA
from asgard_async.core.component import BACKGROUND
from asgard_async.core.redaction import without_secrets
from asgard_async.environments.builder import BuildFailed
from asgard_async.environments.provider import EnvironmentProvider, create_environment_provider
from asgard_async.supervisor.component import ISOLATION, LIMITS
from asgard_async.supervisor.shim.linux import LOWEST_PRIORITY

logger = logging.getLogger(__name__)

ENVIRONMENTS = web.AppKey("environments", EnvironmentProvider)


async def environments(app: web.Application) -> AsyncIterator[None]:
    """Provide environments; build those of `[environments] prebuild` in the background."""
    config, tasks = app[CONFIG], app[BACKGROUND]
    app[ENVIRONMENTS] = provider = await asyncio.to_thread(
        create_environment_provider,
        config,
        app[DATA],
        app[ISOLATION],
        enforcer=app[LIMITS],
        compile_niceness=LOWEST_PRIORITY,
    )
    await asyncio.to_thread(provider.sweep)
    for requirements in config.environments.prebuild:
        tasks.start("prebuild", _prebuild(provider, requirements))
    tasks.start("compile environments", provider.compile_uncompiled())
    yield
    await tasks.stop("prebuild")
    await tasks.stop("compile environments")
    await provider.close()


async def _prebuild(provider: EnvironmentProvider, requirements: Sequence[str]) -> None:
    environment_spec = provider.spec_for(requirements)
    names = without_secrets(", ".join(requirements))
    if environment_spec.moving:
        logger.error("environment for %s is not prebuilt: each job builds its own", names)
        return
    with provider.held(environment_spec) as environment:
        if environment is not None or provider.is_base(requirements):
            return
    try:
        await provider.build(environment_spec)
        logger.info("environment %s is built: %s", environment_spec.key, names)
    except BuildFailed as error:
        logger.error("environment for %s cannot be built: %s", names, error)
