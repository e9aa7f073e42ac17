"""The lifecycle of jobs and the actions on them, as parts of the application."""

from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.config.component import CONFIG
from asgard_async.core.component import BACKGROUND, READINESS
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.core.timestamps import now
from asgard_async.executors.component import EXECUTOR
from asgard_async.jobs.actions.cancel import Canceller
from asgard_async.jobs.actions.delete import Deleter
from asgard_async.jobs.cancellable_waits import CancellableWaits
from asgard_async.jobs.environment_phase import EnvironmentPhase
from asgard_async.jobs.files import LeftFiles
from asgard_async.jobs.followers import Followers
from asgard_async.jobs.lifecycle import Lifecycle
from asgard_async.jobs.recorder import Recorder
from asgard_async.jobs.submit.component import SUBMITTER
from asgard_async.logs.component import FEEDS, LOGS
from asgard_async.mlflow.component import ATTEMPT_TOKENS, EXPERIMENTS, GATEWAY, MONITOR
from asgard_async.mlflow.reconciler import RunReconciler
from asgard_async.scheduling.component import (
    DISPATCHER,
    FIRST_PHASE,
    JOB_RUNNER,
    JOB_TASKS,
)
from asgard_async.store.component import ARCHIVES, STORE

CANCELLER = web.AppKey("canceller", Canceller)
DELETER = web.AppKey("deleter", Deleter)
FILES = web.AppKey("files", LeftFiles)
FOLLOWERS = web.AppKey("followers", Followers)


async def jobs(app: web.Application) -> AsyncIterator[None]:
    """Take jobs from the queue to their end; let clients follow, cancel and delete them."""
    config, store, executor, tasks = app[CONFIG], app[STORE], app[EXECUTOR], app[BACKGROUND]
    app[JOB_TASKS] = job_tasks = BackgroundTasks()
    app[FILES] = LeftFiles(executor)
    app[FOLLOWERS] = Followers(store=store, feeds=app[FEEDS])
    recorder = await _recorder(app)
    cancellable_waits = CancellableWaits(store)
    environment_phase = EnvironmentPhase(cancellable_waits=cancellable_waits, executor=executor)
    app[FIRST_PHASE] = environment_phase.first_phase
    app[JOB_RUNNER] = Lifecycle(
        config=config.jobs,
        store=store,
        archives=app[ARCHIVES],
        executor=executor,
        logs=app[LOGS],
        recording=recorder,
        environment_phase=environment_phase,
        cancellable_waits=cancellable_waits,
        requeued=lambda: app[DISPATCHER].wake(),
    )
    app[CANCELLER] = Canceller(store=store, executor=executor, cancellable_waits=cancellable_waits)
    app[DELETER] = Deleter(store=store, archives=app[ARCHIVES], executor=executor)
    await store.purge_idempotency_keys(at=now())
    tasks.keep_running("recorder", recorder.run)
    yield
    await tasks.stop("recorder")
    await job_tasks.stop()


async def _recorder(app: web.Application) -> Recorder:
    server_id = await app[STORE].server_id()
    return Recorder(
        store=app[STORE],
        gateway=app[GATEWAY],
        experiments=app[EXPERIMENTS],
        monitor=app[MONITOR],
        reconciler=RunReconciler(app[GATEWAY], server_id=server_id),
        server_id=server_id,
        settle_seconds=app[CONFIG].tracking.settle_seconds,
        logs=app[LOGS],
        tokens=app.get(ATTEMPT_TOKENS),
    )


async def stop_following(app: web.Application) -> None:
    """Close the log streams: their readers reconnect to the next service process."""
    if FOLLOWERS in app:
        app[FOLLOWERS].close()


async def drain(app: web.Application) -> None:
    """Stop starting jobs and wait until running jobs have ended."""
    app[READINESS].drain()
    app[SUBMITTER].close()
    await app[BACKGROUND].stop("dispatcher")
    await app[JOB_TASKS].join()
