"""The audit log has the status that the client receives."""

import errno
import json
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from asgard_async.api.http.audit import audit, audited_as
from asgard_async.api.http.middlewares import problems
from asgard_async.auth.audit import AuditLog
from asgard_async.auth.repeated_failures import RepeatedFailures
from asgard_async.domain.errors import JobNotFound

RAISED = {
    404: JobNotFound("00000000"),
    413: web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2),
    500: RuntimeError("nobody foresaw it"),
    503: OSError(errno.EMFILE, "Too many open files"),
    507: OSError(errno.ENOSPC, "No space left on device"),
}


@pytest.mark.parametrize("status", RAISED)
async def test_refusals_and_failures_are_audited(
    aiohttp_client: AiohttpClient, tmp_path: Path, status: int
) -> None:
    @audited_as("change")
    async def change(_: web.Request) -> web.Response:
        raise RAISED[status]

    log = AuditLog(tmp_path / "audit.log")
    app = web.Application(middlewares=[problems, audit(RepeatedFailures(log))])
    app.router.add_post("/", change)
    client = await aiohttp_client(app)
    assert (await client.post("/")).status == status
    log.close()
    entry = json.loads((tmp_path / "audit.log").read_text())
    assert (entry["action"], entry["status"]) == ("change", status)
