"""GET /metrics: metrics for Prometheus."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from asgard_async.api.metrics.component import METRICS
from asgard_async.api.openapi.decorators import docs, text_response
from asgard_async.config.component import FREE_SPACE
from asgard_async.core.timestamps import now
from asgard_async.mlflow.component import MONITOR
from asgard_async.store.component import STORE


@docs(
    operation_id="get_metrics",
    tags=["service"],
    summary="Get Prometheus metrics",
    responses=text_response(
        "text/plain",
        description="Metrics in the Prometheus text format.",
        example='asgard_jobs{status="running"} 2.0\n',
    ),
)
async def get_metrics(request: web.Request) -> web.Response:
    """Return all metrics."""
    snapshot = request.app[MONITOR].snapshot
    age = (now() - snapshot.checked_at).total_seconds() if snapshot.checked_at else None
    store = request.app[STORE]
    text = request.app[METRICS].render(
        await store.counts(),
        await store.unfinished_by_phase(),
        request.app[FREE_SPACE],
        snapshot,
        age=age,
    )
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
