"""The error middleware: converts exceptions in handlers to problem documents."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from asgard_async.api.http.problem import problem_of
from asgard_async.api.http.requests import is_answered, request_id
from asgard_async.domain.errors import AsgardError

log = logging.getLogger(__name__)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception of a handler into a response, except cancellation and resets."""
    try:
        return await handler(request)
    except Exception as error:
        if isinstance(error, ConnectionError) and is_disconnected(request):
            raise
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        if is_answered(request):
            # part of the response is already sent: aborting the connection is the only way to
            # signal that the rest is missing
            log.exception(
                "%s %s failed in mid-response, request_id %s",
                request.method,
                request.rel_url.raw_path,
                request_id(request),
                extra={"request_id": request_id(request)},
            )
            raise ConnectionResetError from error
        return answer_error(request, error)


def is_disconnected(request: web.BaseRequest) -> bool:
    """Return whether the client has closed the connection."""
    return request.transport is None or request.transport.is_closing()


def answer_error(request: web.BaseRequest, error: Exception) -> web.Response:
    """Return the response to a request whose handler raised `error`."""
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
