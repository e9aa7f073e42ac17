"""The local executor and its fork servers, as parts of the application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from asgard_async.config.component import CONFIG, DATA
from asgard_async.config.data_directory import DataDirectory
from asgard_async.environments.component import ENVIRONMENTS
from asgard_async.executors.local.executor import LocalExecutor
from asgard_async.executors.local.job_files import LocalJobFiles
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.supervisor.component import ISOLATION, LIMITS


@asynccontextmanager
async def local_executor(app: web.Application) -> AsyncIterator[LocalExecutor]:
    """Run attempts on this machine."""
    config, data, selector = app[CONFIG], app[DATA], app[ISOLATION]
    warm = WarmServers(
        config.warm,
        data=data,
        base_alone=selector.is_sandboxed,
    )
    first_uid = config.isolation.first_uid
    executor = LocalExecutor(
        jobs_dir=data.jobs,
        files=LocalJobFiles(data, uids=range(first_uid, first_uid + config.isolation.uids)),
        log_limit_bytes=config.logs.max_bytes_per_job,
        archive_limits=config.jobs.archive_limits,
        in_use=data.in_use,
        limits=config.limits,
        environments=app[ENVIRONMENTS],
        warm=warm,
        selector=selector,
        enforcer=app[LIMITS],
    )
    executor.open()
    yield executor
    executor.close()
    await warm.close()


def local_job_files(data: DataDirectory) -> LocalJobFiles:
    """Return the files of jobs in a data directory, to measure and delete them."""
    return LocalJobFiles(data)
