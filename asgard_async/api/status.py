"""GET /mlops/status: how Asgard and its MLflow are. From memory, whatever MLflow does."""

from aiohttp import web

from asgard_async import __version__
from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, response_schema
from asgard_async.api.schemas.status import StatusSchema
from asgard_async.core.timestamps import now
from asgard_async.domain.status import Status
from asgard_async.mlflow.component import GATEWAY, MONITOR
from asgard_async.store.component import STORE

NO_JOBS = dict.fromkeys(Status, 0)


@docs(
    operation_id="get_status",
    tags=["service"],
    summary="Show how Asgard and its MLflow are",
    description="MLflow is as last seen, age_seconds ago; this never waits for it.",
)
@response_schema(StatusSchema, 200, description="The state.")
async def get_status(request: web.Request) -> web.Response:
    """The state of everything."""
    snapshot = request.app[MONITOR].snapshot
    counts = await request.app[STORE].counts()
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
            "version": __version__,
            "timestamp": moment,
        }
    )
