"""The job database and the archive store, as parts of the application."""

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from asgard_async.config import ConfigError
from asgard_async.config.component import DATA
from asgard_async.domain.job import Job
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from asgard_async.store.migrate import SchemaError

logger = logging.getLogger(__name__)

STORE = web.AppKey("store", JobStore)
ARCHIVES = web.AppKey("archives", ArchiveStore)
ON_JOB_END = web.AppKey[Callable[[Job], None]]("on_job_end")
"""Optional callback, called once for each job that has ended, when its end is durable."""


async def store(app: web.Application) -> AsyncIterator[None]:
    """Open the database, migrating it if necessary, and delete archives that belong to no job."""
    file = app[DATA].database
    try:
        database = await Database(file).open()
    except (SchemaError, sqlite3.Error) as error:
        raise ConfigError(f"{file}: {error}") from error
    app[STORE] = jobs = JobStore(database, on_end=app.get(ON_JOB_END, lambda job: None))
    app[ARCHIVES] = archives = ArchiveStore(app[DATA].archives)
    # before any request, because an archive that is being received has no row yet
    if strays := await archives.sweep(await jobs.all_archives()):
        logger.info("deleted %d archives that belong to no job", strays)
    yield
    await database.close()
