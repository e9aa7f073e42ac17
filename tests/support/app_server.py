"""An application behind a real socket, served as in production."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from asgard_async.api.http.middlewares import problems
from asgard_async.api.http.requests import mark_response
from asgard_async.api.http.server import Runner
from asgard_async.config import load_config
from asgard_async.config.component import CONFIG

Client: TypeAlias = TestClient[web.Request, Any]


class _Served(TestServer):
    async def _make_runner(
        self, *, handler_cancellation: bool = False, **kwargs: Any
    ) -> web.AppRunner:
        # TestServer asks for handler_cancellation, which the service does not use
        assert isinstance(self.app, web.Application)
        # do not wait long for rejected bodies
        return Runner(self.app, **{"lingering_time": 0.2, **kwargs})


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[Client]:
    """A client of the application, served by the API's own runner."""
    client: Client = TestClient(_Served(app))
    async with client:
        yield client


def edge(*routes: web.RouteDef) -> web.Application:
    """An application with these routes and only the API's error handling."""
    app = web.Application(middlewares=[problems])
    app[CONFIG] = load_config(environ={})
    app.on_response_prepare.append(mark_response)
    app.add_routes(routes)
    return app
