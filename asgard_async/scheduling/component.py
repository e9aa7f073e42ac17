"""The dispatcher and the queue deadline, as parts of the application."""

import logging
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from asgard_async.config.component import CONFIG
from asgard_async.core.component import BACKGROUND
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.domain.job import JobSpec
from asgard_async.domain.status import Phase
from asgard_async.executors.component import ADMISSION, EXECUTOR
from asgard_async.scheduling.dispatcher import Dispatcher, JobRunner
from asgard_async.scheduling.queue_deadline import QueueDeadline
from asgard_async.store.component import STORE

logger = logging.getLogger(__name__)

JOB_TASKS = web.AppKey("job_tasks", BackgroundTasks)
"""A background task for each job that has left the queue and has not finished."""
JOB_RUNNER = web.AppKey[JobRunner]("job_runner")
FIRST_PHASE = web.AppKey[Callable[[JobSpec], Phase]]("first_phase")
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
QUEUE_DEADLINE = web.AppKey("queue_deadline", QueueDeadline)


async def recovery(app: web.Application) -> AsyncIterator[None]:
    """Resume the jobs that an earlier service process left unfinished."""
    app[DISPATCHER] = dispatcher = Dispatcher(
        store=app[STORE],
        lifecycle=app[JOB_RUNNER],
        first_phase=app[FIRST_PHASE],
        ready=app[EXECUTOR].ready,
        background=app[JOB_TASKS],
        admission=app[ADMISSION],
    )
    if recovered := await dispatcher.recover():
        logger.info("resuming %d jobs of an earlier service process", recovered)
    yield


async def dispatching(app: web.Application) -> AsyncIterator[None]:
    """Start queued jobs, and fail jobs that are queued longer than `[jobs] queue_timeout`."""
    tasks, seconds = app[BACKGROUND], app[CONFIG].jobs.queue_timeout
    app[QUEUE_DEADLINE] = queue_deadline = QueueDeadline(store=app[STORE], seconds=seconds)
    if seconds:
        tasks.keep_running("queue deadline", queue_deadline.run)
    tasks.keep_running("dispatcher", app[DISPATCHER].run)
    yield
    await tasks.stop("dispatcher")  # before the job tasks, which it starts
    await tasks.stop("queue deadline")


def wake(app: web.Application) -> None:
    """Notify the dispatcher and the queue deadline of a new job in the queue."""
    app[DISPATCHER].wake()
    app[QUEUE_DEADLINE].wake()
