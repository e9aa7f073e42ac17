"""Around every handler: what it refuses, and where it fails, becomes a problem document."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from asgard_async.api.http.problem import problem_of
from asgard_async.api.http.requests import is_answered, request_id
from asgard_async.domain.errors import AsgardError

log = logging.getLogger(__name__)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception of a handler into a response; cancellation and resets pass."""
    try:
        return await handler(request)
    except Exception as error:
        if isinstance(error, ConnectionError) and is_disconnected(request):
            raise
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        if is_answered(request):
            # half a response is out: all that is left is to break the connection off
            log.exception(
                "%s %s failed while it was being answered, request_id %s",
                request.method,
                request.rel_url.raw_path,
                request_id(request),
                extra={"request_id": request_id(request)},
            )
            raise ConnectionResetError from error
        return answer_error(request, error)


def is_disconnected(request: web.BaseRequest) -> bool:
    """Whether the client has closed the connection."""
    return request.transport is None or request.transport.is_closing()


def answer_error(request: web.BaseRequest, error: Exception) -> web.Response:
    """The response to a request whose handling raised `error`."""
    if not isinstance(error, AsgardError | web.HTTPException):
        log.error(
            "%s %s failed, request_id %s",
            request.method,
            request.rel_url.raw_path,
            request_id(request),
            exc_info=error,
            extra={"request_id": request_id(request)},
        )
    return problem_of(error).response(request_id(request))
