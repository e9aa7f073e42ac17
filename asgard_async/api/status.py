"""GET /mlops/status: the status of Asgard and MLflow, from memory even if MLflow is down."""

from aiohttp import web

from asgard_async import __version__
from asgard_async.api.http.requests import requester_of
from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, response_schema
from asgard_async.api.schemas.status import StatusSchema
from asgard_async.config.component import CONFIG
from asgard_async.core.timestamps import now
from asgard_async.domain.status import Status
from asgard_async.mlflow.component import GATEWAY, MONITOR
from asgard_async.store.component import STORE

NO_JOBS = dict.fromkeys(Status, 0)


@docs(
    operation_id="get_status",
    tags=["service"],
    summary="Get service and MLflow status",
    description="The status of MLflow is that of the last check, age_seconds ago; the request never"
    " waits for MLflow.",
)
@response_schema(StatusSchema, 200, description="The status.")
async def get_status(request: web.Request) -> web.Response:
    """Return the status of the service and of MLflow."""
    snapshot = request.app[MONITOR].snapshot
    counts, jobs = await _counts(request), request.app[CONFIG].jobs
    moment = now()
    checked_at = snapshot.checked_at
    return reply(
        {
            "asgard_api": "accessible",
            "mlflow_api": snapshot.mlflow_api,
            "mlflow_available": snapshot.available,
            "mlflow_tracking_uri": request.app[GATEWAY].public_uri,
            "registered_models": snapshot.registered_models,
            "active_experiments": snapshot.active_experiments,
            "jobs": NO_JOBS | counts,
            "checked_at": checked_at,
            "age_seconds": (moment - checked_at).total_seconds() if checked_at else None,
            "mlflow_latency_ms": snapshot.latency_ms,
            "timeout": {
                "default": jobs.timeout_default,
                "min": jobs.timeout_min,
                "max": jobs.timeout_max,
            },
            "version": __version__,
            "timestamp": moment,
        }
    )


async def _counts(request: web.Request) -> dict[Status, int]:
    """Return the number of jobs that the client may see, by status."""
    owner = requester_of(request).visible_owner
    if owner is None:
        return await request.app[STORE].counts()
    return await request.app[STORE].counts_of(owner)
