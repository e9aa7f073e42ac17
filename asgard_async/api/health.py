"""GET /health/live and /health/ready: probes for supervisors and load balancers."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from asgard_async.api.http.problem import Problem
from asgard_async.api.http.requests import request_id
from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, response_schema
from asgard_async.api.own_user import identity_for_own_user
from asgard_async.api.schemas.problem import NotReadySchema, refusals
from asgard_async.api.schemas.status import LiveSchema, ReadySchema
from asgard_async.core.component import READINESS
from asgard_async.executors.component import EXECUTOR


@docs(operation_id="live", tags=["service"], summary="Check liveness")
@response_schema(LiveSchema, 200, description="The process answers.")
async def live(request: web.Request) -> web.Response:
    """Answer 200 while the event loop runs."""
    return reply({"status": "live"})


def not_ready(reasons: Sequence[str], identity: Mapping[str, Any] | None = None) -> Problem:
    """Create the problem to return while the service accepts no jobs."""
    return Problem(
        status=503,
        type="urn:asgard:problem:not-ready",
        title="Not ready",
        detail=" ".join(reasons),
        headers={"Retry-After": "1"},
        extra={"reasons": reasons, **(identity or {})},
    )


@docs(
    operation_id="ready",
    tags=["service"],
    summary="Check readiness",
    description=(
        "200 while the service accepts jobs. 'warnings' then lists problems that an administrator"
        " should still fix: MLflow does not answer, rejects Asgard's credentials or cannot store"
        " artifacts; jobs have weaker isolation than the sandbox, or no cgroups limit them. With"
        " 503, the member 'reasons' of the problem says why no jobs are accepted. To its own user"
        " on this machine, the service also tells its 'instance' and its 'data_dir'."
    ),
    responses=refusals(503, schema=NotReadySchema, example=not_ready(["The service is starting."])),
)
@response_schema(ReadySchema, 200, description="The service accepts jobs.")
async def ready(request: web.Request) -> web.Response:
    """Answer 503 with reasons while the service accepts no jobs."""
    reasons = list(request.app[READINESS].reasons())
    identity = await identity_for_own_user(request)
    if not reasons:
        return reply(
            {
                "status": "ready",
                "warnings": request.app[READINESS].warnings(),
                "isolation": request.app[EXECUTOR].isolation,
                "limits": dict(request.app[EXECUTOR].mechanisms),
                **identity,
            }
        )
    return not_ready(reasons, identity).response(request_id(request))
