"""The embedded MLflow server and the gateway to MLflow, as parts of the application."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from asgard_async.auth.token_file import TokenFile
from asgard_async.config.component import CONFIG, DATA
from asgard_async.core.component import BACKGROUND, READINESS
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.mlflow.accounts import Accounts
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.artifact_store import ArtifactStoreWatch
from asgard_async.mlflow.attempt_tokens import AttemptTokens
from asgard_async.mlflow.embedded import EmbeddedServer
from asgard_async.mlflow.experiments import Experiments
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.monitor import Monitor
from asgard_async.store.component import STORE
from asgard_async.supervisor.component import HELD_SOCKETS, ISOLATION, LIMITS

GATEWAY = web.AppKey("gateway", MlflowGateway)
MONITOR = web.AppKey("monitor", Monitor)
EXPERIMENTS = web.AppKey("experiments", Experiments)
ATTEMPT_TOKENS = web.AppKey("attempt tokens", AttemptTokens)
"""Present if jobs log to the embedded server."""


async def mlflow(app: web.Application) -> AsyncIterator[None]:
    """Run the embedded MLflow server unless another one is configured, and connect to it."""
    config = app[CONFIG]
    tokens = embedded = None
    accounts = Accounts(config, TokenFile(app[DATA].tokens), app[STORE])
    if config.mlflow.embedded:
        tokens = await asyncio.to_thread(AttemptTokens.open, app[DATA].mlflow_server)
        app[ATTEMPT_TOKENS] = tokens
        embedded = _embedded(app, tokens, accounts, await app[STORE].server_id())

    def address() -> MlflowAddress:
        if embedded is None or tokens is None:
            return MlflowAddress.configured(config.mlflow)
        return MlflowAddress(
            public_uri=embedded.uri,
            token=tokens.of_service(),
            is_service_only=True,
            token_for=tokens.of_service_for,
        )

    timeout = config.tracking.request_timeout_seconds
    async with MlflowGateway(address(), timeout_seconds=timeout) as gateway:
        monitor = Monitor(gateway, refresh_seconds=config.tracking.refresh_seconds)
        app[GATEWAY] = gateway
        app[MONITOR] = monitor
        app[EXPERIMENTS] = experiments = Experiments(gateway, wait_seconds=timeout)
        artifact_store = ArtifactStoreWatch(gateway, monitor)
        app[READINESS].watch(lambda: monitor.problem)
        app[READINESS].watch(lambda: artifact_store.problem)
        server = BackgroundTasks()

        def starting() -> None:
            gateway.move_to(address())  # another process may have taken the port
            monitor.expect_start()
            accounts.forget()

        if embedded is not None:
            monitor.expect_start()
            server.keep_running("embedded mlflow", partial(embedded.run, starting))
            server.start("mlflow accounts", accounts.run(gateway))
        app[BACKGROUND].keep_running("mlflow monitor", monitor.run)
        app[BACKGROUND].keep_running("artifact store", artifact_store.run)
        yield
        await app[BACKGROUND].stop("artifact store")
        await app[BACKGROUND].stop("mlflow monitor")
        await experiments.aclose()
        await server.stop()
    if embedded is not None:
        await embedded.leave()


def _embedded(
    app: web.Application, tokens: AttemptTokens, accounts: Accounts, server_id: str
) -> EmbeddedServer:
    data = app[DATA]
    embedded = EmbeddedServer(
        config=app[CONFIG],
        directory=data.mlflow_server,
        store=data.mlflow,
        tokens=tokens,
        accounts=accounts,
        server_id=server_id,
        selector=app[ISOLATION],
        enforcer=app[LIMITS],
        jobs_in_use=data.in_use,
        in_use=data.ports_in_use,
        service_lock=data.service_lock,
        held_sockets=app[HELD_SOCKETS],
    )
    embedded.prepare()
    return embedded
