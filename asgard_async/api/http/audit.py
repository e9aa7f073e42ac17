"""Notes in the audit log what was to be changed, by whom, and what came of it."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from asgard_async.api.http.foreign_requests import SAFE_METHODS
from asgard_async.api.http.problem import problem_of
from asgard_async.api.http.requests import owner, request_id
from asgard_async.auth.audit import AuditLog
from asgard_async.core.timestamps import now, rfc3339


def audit(log: AuditLog) -> Middleware:
    """A middleware inside the one that lets in: who is not let in is not noted."""

    @web.middleware
    async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in SAFE_METHODS or request.match_info.route.resource is None:
            return await handler(request)
        # of one that the client broke off
        status, made = 499, None
        try:
            response = await handler(request)
            status, made = response.status, response.headers.get("Location")
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except Exception as error:
            status = problem_of(error).status
            raise
        finally:
            log.write(
                at=rfc3339(now()),
                token=owner(request) or None,
                remote=request.remote,
                action=request.match_info.handler.__name__,
                of=request.match_info.get("job_id"),
                made=made,
                status=status,
                request_id=request_id(request),
            )

    return audited
