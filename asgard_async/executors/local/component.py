"""The local executor and its fork servers, as parts of the application."""

from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.config.component import CONFIG, DATA
from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.executors.local.executor import LocalExecutor
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.logs.component import LOG_OF
from asgard_async.supervisor.component import ISOLATION, LIMITS

EXECUTOR = web.AppKey("executor", LocalExecutor)
WARM = web.AppKey("warm", WarmServers)


async def local_executor(app: web.Application) -> AsyncIterator[None]:
    """Run attempts on this machine."""
    config, data, selector = app[CONFIG], app[DATA], app[ISOLATION]
    app[WARM] = warm = WarmServers(
        config.warm,
        directory=data.warm,
        cache_dir=selector.cache_of("base"),
        base_alone=selector.is_sandboxed,
    )
    app[EXECUTOR] = executor = LocalExecutor(
        jobs_dir=data.jobs,
        log_limit_bytes=config.logs.max_bytes_per_job,
        archive_limits=ArchiveLimits(
            max_members=config.jobs.max_archive_members,
            max_unpacked_bytes=config.jobs.max_unpacked_bytes,
        ),
        in_use=data.in_use,
        warm=warm,
        selector=selector,
        enforcer=app[LIMITS],
    )
    app[LOG_OF] = executor.log_of
    yield
    executor.close()
    await warm.close()


async def warm_up(app: web.Application) -> AsyncIterator[None]:
    """Start the fork servers, once the jobs of an earlier service are followed again."""
    app[WARM].start()
    yield
