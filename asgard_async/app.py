"""The one place that builds everything and joins it."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial

from aiohttp import web

from asgard_async.api import keys
from asgard_async.api.http.server import Runner
from asgard_async.api.metrics.collectors import IsolationCollector, LimitsCollector, WarmCollector
from asgard_async.api.setup import setup_api
from asgard_async.auth.audit import AuditLog
from asgard_async.auth.authenticator import Authenticator
from asgard_async.auth.token_file import TokenFile
from asgard_async.config import Config, ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.core.files.free_space import FreeSpace
from asgard_async.core.health import Readiness
from asgard_async.core.loop_lag import LoopLag
from asgard_async.core.open_files import make_room_for
from asgard_async.core.redaction import without_secrets
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.core.timestamps import now
from asgard_async.environments.builder import BuildFailed
from asgard_async.environments.provider import EnvironmentProvider, create_environment_provider
from asgard_async.executors.local.executor import LocalExecutor
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.jobs.actions.cancel import Canceller
from asgard_async.jobs.actions.delete import Deleter
from asgard_async.jobs.actions.retry import Retrier
from asgard_async.jobs.cancellable_waits import CancellableWaits
from asgard_async.jobs.environment_phase import EnvironmentPhase
from asgard_async.jobs.following import Followers
from asgard_async.jobs.lifecycle import Lifecycle
from asgard_async.jobs.recorder import Recorder
from asgard_async.jobs.submit.checking.archives import ArchiveChecker
from asgard_async.jobs.submit.checking.checker import ScriptChecker
from asgard_async.jobs.submit.submitter import Submitter
from asgard_async.logs.feed import Feeds
from asgard_async.logs.reader import LogReader
from asgard_async.logs.watch import LogWatch
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.artifact_store import ArtifactStoreWatch
from asgard_async.mlflow.embedded import EmbeddedServer
from asgard_async.mlflow.experiments import Experiments
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.monitor import Monitor
from asgard_async.mlflow.reconciler import RunReconciler
from asgard_async.retention.collector import Collector
from asgard_async.scheduling.dispatcher import Dispatcher
from asgard_async.scheduling.queue_deadline import QueueDeadline
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from asgard_async.store.migrate import SchemaError
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.shim.linux import LOWEST_PRIORITY

logger = logging.getLogger(__name__)

DATA = web.AppKey("data", DataDirectory)
BACKGROUND = web.AppKey("background", BackgroundTasks)
JOB_TASKS = web.AppKey("job_tasks", BackgroundTasks)
EXPERIMENTS = web.AppKey("experiments", Experiments)
EXECUTOR = web.AppKey("executor", LocalExecutor)
WARM = web.AppKey("warm", WarmServers)
ENVIRONMENTS = web.AppKey("environments", EnvironmentProvider)
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
QUEUE_DEADLINE = web.AppKey("queue_deadline", QueueDeadline)


def create_app(config: Config) -> web.Application:
    """The whole service as an aiohttp application; it starts and stops with it."""
    app = web.Application(client_max_size=config.server.max_body_bytes)
    app[keys.CONFIG] = config
    app[keys.READINESS] = Readiness()
    data = DataDirectory(root=config.data_dir)
    app[keys.AUTHENTICATOR] = authenticator = Authenticator(
        TokenFile(data.tokens), may_be_open=config.server.is_loopback
    )
    app[keys.READINESS].unless(authenticator.problem)
    app[keys.AUDIT] = AuditLog(data.audit_log)
    setup_api(app)
    app.on_shutdown.append(_stop_streams)
    # in this order at the start, in the opposite one at the end
    app.cleanup_ctx.extend(
        [_data, _store, _background, _isolation, _tracking, _execution, _jobs, _accepting]
    )
    return app


def create_runner(app: web.Application, *, shutdown_timeout: float) -> web.AppRunner:
    """What serves the application: aiohttp's runner, with Asgard's bounds and its answers to
    malformed HTTP. Raises the process's limit of open files as far as that needs."""
    wanted = app[keys.CONFIG].http.max_connections
    room = make_room_for(wanted)
    if room < wanted:
        logger.warning(
            "only %d connections can be open, not [http] max_connections = %d: the hard limit of"
            " open files (ulimit -Hn, LimitNOFILE=) is too low",
            room,
            wanted,
        )
    return Runner(app, max_connections=room, access_log=None, shutdown_timeout=shutdown_timeout)


async def _data(app: web.Application) -> AsyncIterator[None]:
    data = DataDirectory(root=app[keys.CONFIG].data_dir).make()
    lock = data.lock()
    app[DATA] = data
    yield
    app[keys.AUDIT].close()
    os.close(lock)


async def _store(app: web.Application) -> AsyncIterator[None]:
    file = app[DATA].database
    try:
        database = await Database(file).open()
    except (SchemaError, sqlite3.Error) as error:
        raise ConfigError(f"{file}: {error}") from error
    app[keys.STORE] = store = JobStore(database, on_end=app[keys.METRICS].count_end)
    app[keys.ARCHIVES] = archives = ArchiveStore(app[DATA].archives)
    # before any request: what is being received has no row yet either
    if strays := await archives.sweep(await store.all_archives()):
        logger.info("%d archives without a job are removed", strays)
    yield
    await database.close()


async def _background(app: web.Application) -> AsyncIterator[None]:
    app[BACKGROUND] = background = BackgroundTasks()
    lag = LoopLag(
        warn_seconds=app[keys.CONFIG].logging.slow_loop_seconds,
        observe=app[keys.METRICS].loop_lag.observe,
    )
    background.keep_running("loop lag", lag.run)
    background.keep_running("door", app[keys.AUTHENTICATOR].run)
    yield
    await background.stop()


async def _isolation(app: web.Application) -> AsyncIterator[None]:
    app[keys.ISOLATION] = selector = IsolationSelector(app[keys.CONFIG], app[DATA])
    app[keys.READINESS].unless(lambda: selector.problem)
    app[keys.READINESS].watch(lambda: selector.warning)
    await selector.choose()
    yield


async def _tracking(app: web.Application) -> AsyncIterator[None]:
    config = app[keys.CONFIG]
    embedded = _embedded(app) if config.mlflow.embedded else None

    def address() -> MlflowAddress:
        uri = embedded.uri if embedded is not None else ""
        return MlflowAddress.configured(config.mlflow, embedded_uri=uri)

    timeout = config.tracking.request_timeout_seconds
    async with MlflowGateway(address(), timeout_seconds=timeout) as gateway:
        monitor = Monitor(gateway, refresh_seconds=config.tracking.refresh_seconds)
        app[keys.GATEWAY] = gateway
        app[keys.MONITOR] = monitor
        app[EXPERIMENTS] = experiments = Experiments(gateway, wait_seconds=timeout)
        artifact_store = ArtifactStoreWatch(gateway, monitor)
        app[keys.READINESS].watch(lambda: monitor.problem)
        app[keys.READINESS].watch(lambda: artifact_store.problem)
        server = BackgroundTasks()

        def starting() -> None:
            gateway.move_to(address())  # its port may have been taken meanwhile
            monitor.expect_start()

        if embedded is not None:
            monitor.expect_start()
            server.keep_running("embedded mlflow", partial(embedded.run, starting))
        app[BACKGROUND].keep_running("mlflow monitor", monitor.run)
        app[BACKGROUND].keep_running("artifact store", artifact_store.run)
        yield
        await experiments.aclose()
        await server.stop()
    if embedded is not None:
        await embedded.leave()


def _embedded(app: web.Application) -> EmbeddedServer:
    data = app[DATA]
    embedded = EmbeddedServer(
        config=app[keys.CONFIG].mlflow,
        directory=data.mlflow_server,
        store=data.mlflow,
        selector=app[keys.ISOLATION],
        in_use=data.in_use,
        service_lock=data.service_lock,
    )
    embedded.prepare()
    return embedded


async def _execution(app: web.Application) -> AsyncIterator[None]:
    config, data, selector = app[keys.CONFIG], app[DATA], app[keys.ISOLATION]
    app[WARM] = warm = WarmServers(
        config.warm,
        directory=data.warm,
        cache_dir=selector.cache_of("base"),
        base_alone=selector.is_sandboxed,
    )
    app[keys.LIMIT_ENFORCER] = enforcer = LimitEnforcer(
        config.limits, jobs_dir=data.jobs, builds_dir=data.builds
    )
    app[keys.READINESS].watch(lambda: enforcer.warning)
    await asyncio.to_thread(enforcer.open)
    for figures in (WarmCollector(warm), IsolationCollector(selector), LimitsCollector(enforcer)):
        app[keys.METRICS].add(figures)
    app[EXECUTOR] = executor = LocalExecutor(
        jobs_dir=data.jobs,
        log_limit_bytes=config.logs.max_bytes_per_job,
        archive_limits=_archive_limits(config),
        in_use=data.in_use,
        warm=warm,
        selector=selector,
        enforcer=enforcer,
    )
    app[ENVIRONMENTS] = environments = await asyncio.to_thread(
        create_environment_provider,
        config,
        data,
        selector,
        enforcer=enforcer,
        compile_niceness=LOWEST_PRIORITY,
    )
    await asyncio.to_thread(environments.sweep)
    log_watch = LogWatch(data.jobs)
    log_watch.open()
    app[keys.LOGS] = LogReader(executor.log_of)
    app[keys.FOLLOWERS] = Followers(store=app[keys.STORE], feeds=Feeds(executor.log_of, log_watch))
    yield
    executor.close()
    await warm.close()
    await environments.close()
    log_watch.close()
    await enforcer.stop()


async def _jobs(app: web.Application) -> AsyncIterator[None]:
    config, store, executor = app[keys.CONFIG], app[keys.STORE], app[EXECUTOR]
    environments, background = app[ENVIRONMENTS], app[BACKGROUND]
    app[JOB_TASKS] = job_tasks = BackgroundTasks()
    recorder = await _recorder(app)
    cancellable_waits = CancellableWaits(store)
    environment_phase = EnvironmentPhase(
        cancellable_waits=cancellable_waits,
        environments=environments,
        log_of=executor.log_of,
        log_limit_bytes=config.logs.max_bytes_per_job,
    )
    lifecycle = Lifecycle(
        config=config,
        store=store,
        archives=app[keys.ARCHIVES],
        executor=executor,
        logs=app[keys.LOGS],
        recording=recorder,
        environment_phase=environment_phase,
        cancellable_waits=cancellable_waits,
        requeued=lambda: dispatcher.wake(),
    )
    app[DISPATCHER] = dispatcher = Dispatcher(
        store=store,
        lifecycle=lifecycle,
        first_phase=environment_phase.first_phase,
        ready=executor.ready,
        background=job_tasks,
        slots=config.jobs.slots,
    )
    app[QUEUE_DEADLINE] = queue_deadline = QueueDeadline(
        store=store, seconds=config.jobs.queue_timeout
    )
    app[keys.CANCELLER] = Canceller(
        store=store, executor=executor, cancellable_waits=cancellable_waits
    )
    app[keys.DELETER] = Deleter(store=store, archives=app[keys.ARCHIVES], executor=executor)

    recovered = await dispatcher.recover()
    if recovered:
        logger.info("%d jobs of an earlier life are followed again", recovered)
    await store.purge_idempotency_keys(at=now())
    for requirements in config.environments.prebuild:
        background.start("prebuild", _prebuild(environments, requirements))
    background.start("compile environments", environments.compile_uncompiled())
    background.keep_running("recorder", recorder.run)
    collect = partial(_collector(app).run, app[keys.METRICS].count_removed)
    background.keep_running("retention", collect)
    if config.jobs.queue_timeout:
        background.keep_running("queue deadline", queue_deadline.run)
    app[WARM].start()
    background.keep_running("dispatcher", dispatcher.run)
    yield
    await background.stop()  # first the dispatcher: it starts job tasks
    await job_tasks.stop()


async def _recorder(app: web.Application) -> Recorder:
    server_id = await app[keys.STORE].server_id()
    return Recorder(
        store=app[keys.STORE],
        gateway=app[keys.GATEWAY],
        experiments=app[EXPERIMENTS],
        monitor=app[keys.MONITOR],
        reconciler=RunReconciler(app[keys.GATEWAY], server_id=server_id),
        server_id=server_id,
        settle_seconds=app[keys.CONFIG].tracking.settle_seconds,
    )


def _collector(app: web.Application) -> Collector:
    config, data = app[keys.CONFIG], app[DATA]
    return Collector(
        store=app[keys.STORE],
        archives=app[keys.ARCHIVES],
        jobs_dir=data.jobs,
        environments_dir=data.environments,
        caches_dir=data.job_caches,
        retention=config.retention,
        environments=config.environments,
    )


async def _accepting(app: web.Application) -> AsyncIterator[None]:
    config, store, selector = app[keys.CONFIG], app[keys.STORE], app[keys.ISOLATION]

    def accepted() -> None:
        app[DISPATCHER].wake()
        app[QUEUE_DEADLINE].wake()

    app[keys.FREE_SPACE] = free_space = FreeSpace(
        app[DATA].root, floor_bytes=config.server.min_free_mb << 20
    )
    app[keys.READINESS].unless(lambda: _shortage(free_space))
    checker = ScriptChecker(
        deadline_seconds=config.jobs.script_check_seconds,
        max_waiting=config.jobs.max_waiting_checks,
    )
    app[keys.SUBMITTER] = submitter = Submitter(
        store=store,
        archives=app[keys.ARCHIVES],
        checker=checker,
        archive_checker=ArchiveChecker(
            limits=_archive_limits(config),
            max_script_bytes=config.jobs.max_script_bytes,
            deadline_seconds=config.jobs.archive_check_seconds,
            max_waiting=config.jobs.max_waiting_checks,
        ),
        config=config.jobs,
        free_space=free_space,
        direct_references=config.environments.allow_direct_references,
        isolation_problem=lambda: selector.problem,
        accepted=accepted,
    )
    app[keys.RETRIER] = Retrier(store=store, submitter=submitter)
    app[keys.READINESS].ready()
    yield
    app[keys.READINESS].drain()
    submitter.close()
    await checker.close()


async def _stop_streams(app: web.Application) -> None:
    """Have those who follow a log come back to the next service."""
    if keys.FOLLOWERS in app:
        app[keys.FOLLOWERS].close()


def _archive_limits(config: Config) -> ArchiveLimits:
    return ArchiveLimits(
        max_members=config.jobs.max_archive_members,
        max_unpacked_bytes=config.jobs.max_unpacked_bytes,
    )


def _shortage(free_space: FreeSpace) -> str | None:
    if not free_space.is_short():
        return None
    return (
        f"Less than {free_space.floor_bytes >> 20} MiB are free on the disk of the data directory."
    )


async def _prebuild(environments: EnvironmentProvider, requirements: Sequence[str]) -> None:
    environment_spec, names = (
        environments.environment_spec(requirements),
        without_secrets(", ".join(requirements)),
    )
    if environment_spec.moving:
        logger.error("environment for %s is not built: each job builds its own", names)
        return
    with environments.held(environment_spec) as environment:
        if environment is not None or environments.is_base(requirements):
            return
    try:
        await environments.build(environment_spec)
        logger.info("environment %s is built: %s", environment_spec.key, names)
    except BuildFailed as error:
        logger.error("environment for %s cannot be built: %s", names, error)


async def drain(app: web.Application) -> None:
    """Start no more jobs and wait until those that run have ended."""
    app[keys.READINESS].drain()
    app[keys.SUBMITTER].close()
    await app[BACKGROUND].stop("dispatcher")
    await app[JOB_TASKS].join()
