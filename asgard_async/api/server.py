"""aiohttp's server, with problem documents also where no handler and no middleware is reached.

That is: what cannot be read as HTTP, an unknown `Expect` header, and errors in aiohttp itself.
"""

import logging
from typing import Any

from aiohttp import web

from asgard_async.api.middlewares import answer_error, is_gone
from asgard_async.api.problem import INTERNAL_ERROR, problem_of_malformed_http
from asgard_async.api.requests import put_headers, request_id

log = logging.getLogger(__name__)

DEFAULTS = {
    # compressed bodies are refused, so nothing is ever to be decompressed
    "auto_decompress": False,
    # Seconds for which the rest of a refused body is read and thrown away, so that the client
    # gets to read the refusal. A connection that is gone meanwhile is not noticed before.
    "lingering_time": 2.0,
}


class Runner(web.AppRunner):
    """Runs the application; to be used wherever `web.AppRunner` would be."""

    def __init__(self, app: web.Application, **kwargs: Any) -> None:
        super().__init__(app, **{**DEFAULTS, **kwargs})

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await made.request_handler(request)
            except web.HTTPClientError as error:
                return answer_error(request, error)

        return _Server(handle, request_factory=made.request_factory, **made._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _RequestHandler(self, loop=self._loop, **self._kwargs)


class _RequestHandler(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun; there can be no other")
        if isinstance(exc, ConnectionError) and is_gone(request):
            log.info("Request %s was broken off by its client", request_id(request))
            problem = INTERNAL_ERROR  # nobody reads it
        elif status < 500:
            log.info("Malformed request from %s: %s", request.remote, type(exc).__name__)
            problem = problem_of_malformed_http(status)
        else:
            log.error("Request %s failed outside its handler", request_id(request), exc_info=exc)
            problem = INTERNAL_ERROR
        response = problem.response(request_id(request))
        put_headers(request, response)
        response.force_close()
        return response
