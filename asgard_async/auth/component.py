"""Authentication and the audit log, as parts of the application."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from asgard_async.auth.audit import AuditLog
from asgard_async.auth.authenticator import Authenticator
from asgard_async.auth.denials import Denials
from asgard_async.auth.instance import instance_id
from asgard_async.auth.repeated_failures import RepeatedFailures
from asgard_async.auth.token_file import TokenFile
from asgard_async.config.component import CONFIG, DATA
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.component import BACKGROUND, READINESS

AUTHENTICATOR = web.AppKey("authenticator", Authenticator)
INSTANCE = web.AppKey("instance", str)
"""The id of the data directory."""
AUDIT = web.AppKey("audit", AuditLog)
DENIALS = web.AppKey("denials", Denials)
FAILURES = web.AppKey("failures", RepeatedFailures)


def set_up_auth(app: web.Application) -> None:
    """Add the authenticator and the audit log, which the middlewares need."""
    config = app[CONFIG]
    data = DataDirectory(root=config.data_dir)
    app[AUTHENTICATOR] = authenticator = Authenticator(
        TokenFile(data.tokens), may_be_open=config.server.is_loopback
    )
    app[AUDIT] = AuditLog(data.audit_log)
    app[DENIALS] = Denials(app[AUDIT])
    app[FAILURES] = RepeatedFailures(app[AUDIT])
    app[READINESS].unless(authenticator.problem)


async def auth(app: web.Application) -> AsyncIterator[None]:
    """Close the streams of revoked tokens; at the end, close the audit log."""
    app[INSTANCE] = await asyncio.to_thread(instance_id, app[DATA].instance)
    app[BACKGROUND].keep_running("authenticator", app[AUTHENTICATOR].run)
    app[BACKGROUND].keep_running("denials", app[DENIALS].run)
    app[BACKGROUND].keep_running("failed requests", app[FAILURES].run)
    yield
    app[DENIALS].flush()
    app[FAILURES].flush()
    app[AUDIT].close()
