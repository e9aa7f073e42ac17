"""GET /health/live and /health/ready: for those who watch over the process."""

from collections.abc import Sequence

from aiohttp import web

from asgard_async.api.http.problem import Problem
from asgard_async.api.http.requests import request_id
from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, response_schema
from asgard_async.api.schemas.problem import NotReadySchema, refusals
from asgard_async.api.schemas.status import LiveSchema, ReadySchema
from asgard_async.core.component import READINESS
from asgard_async.supervisor.component import ISOLATION, LIMITS


@docs(operation_id="live", tags=["service"], summary="Whether the process answers")
@response_schema(LiveSchema, 200, description="It does.")
async def live(request: web.Request) -> web.Response:
    """Answers while the event loop runs."""
    return reply({"status": "live"})


def not_ready(reasons: Sequence[str]) -> Problem:
    """What is told while no jobs are taken."""
    return Problem(
        status=503,
        type="urn:asgard:problem:not-ready",
        title="Not ready",
        detail=" ".join(reasons),
        headers={"Retry-After": "1"},
        extra={"reasons": reasons},
    )


@docs(
    operation_id="ready",
    tags=["service"],
    summary="Whether jobs are taken",
    description=(
        "While they are not, the member 'reasons' of the problem says why. While they are,"
        " 'warnings' says what an administrator should mend all the same: MLflow does not answer"
        " or refuses Asgard's credentials, or cannot store artifacts, or jobs are isolated by less"
        " than the sandbox, or no control groups limit them."
    ),
    responses=refusals(503, schema=NotReadySchema, example=not_ready(["The service is starting."])),
)
@response_schema(ReadySchema, 200, description="They are.")
async def ready(request: web.Request) -> web.Response:
    """Answers 503 with reasons while the service starts or stops."""
    reasons = list(request.app[READINESS].reasons())
    if not reasons:
        return reply(
            {
                "status": "ready",
                "warnings": request.app[READINESS].warnings(),
                "isolation": request.app[ISOLATION].level,
                "limits": dict(request.app[LIMITS].mechanisms),
            }
        )
    return not_ready(reasons).response(request_id(request))
