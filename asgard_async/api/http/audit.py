"""Audit log entries for requests that may change something: the client and the outcome."""

from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from asgard_async.api.http.foreign_requests import SAFE_METHODS
from asgard_async.api.http.problem import problem_of
from asgard_async.api.http.requests import owner, request_id
from asgard_async.auth.repeated_failures import CLIENT_CLOSED_REQUEST, RepeatedFailures

AnyHandler = TypeVar("AnyHandler", bound=Callable[..., Any])


def audited_as(action: str) -> Callable[[AnyHandler], AnyHandler]:
    """Name a handler's action in the audit log.

    The log outlives the code, so the name must not change when a handler is renamed.
    """

    def decorate(handler: AnyHandler) -> AnyHandler:
        audited_handler: Any = handler
        audited_handler.audit_action = action
        return handler

    return decorate


def audit(log: RepeatedFailures) -> Middleware:
    """Create a middleware that logs requests with unsafe methods.

    It belongs inside the authentication middleware: rejected requests are not logged.
    """

    @web.middleware
    async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in SAFE_METHODS or request.match_info.route.resource is None:
            return await handler(request)
        matched_handler: Any = request.match_info.handler
        action: str = matched_handler.audit_action
        status, location = CLIENT_CLOSED_REQUEST, None
        try:
            response = await handler(request)
            status, location = response.status, response.headers.get("Location")
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except Exception as error:
            status = problem_of(error).status
            raise
        finally:
            log.write(
                token=owner(request) or None,
                remote=request.remote,
                action=action,
                of=request.match_info.get("job_id"),
                made=location,
                status=status,
                request_id=request_id(request),
            )

    return audited
