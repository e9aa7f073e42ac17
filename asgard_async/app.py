"""The application: an ordered list of components, each of which brings its own parts."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from asgard_async.api.component import set_up_api
from asgard_async.api.http.component import listening
from asgard_async.api.metrics.component import metrics
from asgard_async.auth.component import auth, set_up_auth
from asgard_async.config import Config
from asgard_async.config.component import CONFIG, data_directory, loop_lag
from asgard_async.core.component import READINESS, background
from asgard_async.core.health import ServiceReadiness
from asgard_async.environments.component import environments
from asgard_async.executors.component import executor, prewarm
from asgard_async.jobs.component import jobs, stop_following
from asgard_async.jobs.submit.component import submission
from asgard_async.logs.component import logs
from asgard_async.mlflow.component import mlflow
from asgard_async.retention.component import retention
from asgard_async.scheduling.component import dispatching, recovery
from asgard_async.store.component import store
from asgard_async.supervisor.component import held_sockets, isolation, limits

COMPONENTS: tuple[Callable[[web.Application], AsyncIterator[None]], ...] = (
    data_directory,
    held_sockets,
    listening,
    store,
    background,
    loop_lag,
    auth,
    isolation,
    limits,
    mlflow,
    environments,
    executor,
    logs,
    metrics,
    jobs,
    recovery,
    retention,
    prewarm,
    dispatching,
    submission,
)
"""Started in this order and stopped in the opposite one."""


def create_app(config: Config) -> web.Application:
    """Create the service as an aiohttp application, which starts and stops with it."""
    app = web.Application(client_max_size=config.server.max_body_bytes)
    app[CONFIG] = config
    app[READINESS] = ServiceReadiness()
    set_up_auth(app)
    set_up_api(app)
    app.on_shutdown.append(stop_following)
    app.cleanup_ctx.extend(COMPONENTS)
    return app
