"""Tests cover every served route, and scopes apply on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.api.http.authentication import ADMIN_ROUTES
from asgard_async.api.routes import PAGES, ROUTES
from asgard_async.auth.token import Scope
from tests.support.api_service import bearer, running, service_config, store_of
from tests.support.app_server import Client
from tests.support.route_paths import canonical, filled

pytestmark = pytest.mark.service


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(service_config(tmp_path)) as client:
        bearer(client, Scope.ADMIN)
        yield client
        (tmp_path / "tokens.json").unlink()  # the teardown of the fixture has none


async def test_every_served_route_is_covered(closed: Client) -> None:
    known = {canonical(route.path) for route in [*ROUTES, *PAGES]}
    served = {resource.canonical for resource in closed.app.router.resources()}
    assert served == known


async def test_scopes_hold_on_every_route(closed: Client) -> None:
    read, submit = bearer(closed, Scope.READ), bearer(closed, Scope.SUBMIT)
    changing = 0
    for route in [*ROUTES, *PAGES]:
        path = filled(route.path)
        if route.method in {"GET", "HEAD"}:
            response = await closed.request(route.method, path, headers=read)
            assert response.status not in {401, 403}, path
            continue
        changing += 1
        assert (await closed.request(route.method, path, headers=read)).status == 403, path
        response = await closed.request(route.method, path, headers=submit)
        assert (response.status == 403) == (route.path in ADMIN_ROUTES), path
    assert changing >= 5
    assert sum((await store_of(closed).counts()).values()) == 0
