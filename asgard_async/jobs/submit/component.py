"""The submission of jobs, as a part of the application."""

from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from asgard_async.config.component import CONFIG, FREE_SPACE
from asgard_async.core.component import READINESS
from asgard_async.executors.component import EXECUTOR
from asgard_async.jobs.actions.retry import Retrier
from asgard_async.jobs.submit.checking.archives import ArchiveChecker
from asgard_async.jobs.submit.checking.checker import ScriptChecker
from asgard_async.jobs.submit.submitter import Submitter
from asgard_async.scheduling.component import wake
from asgard_async.store.component import ARCHIVES, STORE

SUBMITTER = web.AppKey("submitter", Submitter)
RETRIER = web.AppKey("retrier", Retrier)


async def submission(app: web.Application) -> AsyncIterator[None]:
    """Accept jobs until the service stops."""
    config, store, executor = app[CONFIG], app[STORE], app[EXECUTOR]
    checker = ScriptChecker(
        deadline_seconds=config.jobs.script_check_seconds,
        max_waiting=config.jobs.max_waiting_checks,
    )
    app[SUBMITTER] = submitter = Submitter(
        store=store,
        archives=app[ARCHIVES],
        checker=checker,
        archive_checker=ArchiveChecker(
            limits=config.jobs.archive_limits,
            max_script_bytes=config.jobs.max_script_bytes,
            deadline_seconds=config.jobs.archive_check_seconds,
            max_waiting=config.jobs.max_waiting_checks,
        ),
        config=config.jobs,
        free_space=app[FREE_SPACE],
        direct_references=config.environments.allow_direct_references,
        executor_problem=lambda: executor.problem,
        accepted=partial(wake, app),
    )
    app[RETRIER] = Retrier(store=store, submitter=submitter)
    app[READINESS].ready()
    yield
    app[READINESS].drain()
    submitter.close()
    await checker.close()
