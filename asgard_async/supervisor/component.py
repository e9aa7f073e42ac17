"""Isolation, limits and held sockets, as parts of the application."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.config.component import CONFIG, DATA, SERVICE_LOCK
from asgard_async.core.component import READINESS
from asgard_async.supervisor.held_sockets import HeldSockets
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector

ISOLATION = web.AppKey("isolation", IsolationSelector)
LIMITS = web.AppKey("limits", LimitEnforcer)
HELD_SOCKETS = web.AppKey("held_sockets", HeldSockets)


async def held_sockets(app: web.Application) -> AsyncIterator[None]:
    """Claim the listening sockets of the last service; leave them to the next one."""
    app[HELD_SOCKETS] = held = HeldSockets(app[DATA], service_lock=app[SERVICE_LOCK])
    await asyncio.to_thread(held.claim)
    held.watch()
    try:
        yield
    finally:
        await held.leave()


async def isolation(app: web.Application) -> AsyncIterator[None]:
    """Select the isolation level by testing which levels work on this machine."""
    app[ISOLATION] = selector = IsolationSelector(app[CONFIG], app[DATA])
    app[READINESS].watch(lambda: selector.warning)
    await selector.choose()
    yield


async def limits(app: web.Application) -> AsyncIterator[None]:
    """Create the control groups of jobs if possible."""
    data = app[DATA]
    app[LIMITS] = enforcer = LimitEnforcer(
        app[CONFIG].limits,
        jobs_dir=data.jobs,
        builds_dir=data.builds,
        service_dirs=[data.mlflow_server],
    )
    app[READINESS].watch(lambda: enforcer.warning)
    await asyncio.to_thread(enforcer.open)
    yield
    await enforcer.stop()
