"""The middleware that counts and times requests."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from asgard_async.api.metrics.service_metrics import Metrics


def count_requests(metrics: Metrics) -> Middleware:
    """Create a middleware that counts every response.

    It belongs outside the middleware that turns exceptions into responses, to count errors too.
    """

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        start = time.perf_counter()
        response = await handler(request)
        resource = request.match_info.route.resource
        metrics.count_request(
            method=request.method,
            # never the path itself: clients could create any number of label values
            route=resource.canonical if resource is not None else "unmatched",
            status=response.status,
            seconds=time.perf_counter() - start,
        )
        return response

    return count
