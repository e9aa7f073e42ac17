"""The routes are complete, and every handler is documented."""

import re
from typing import Any

import pytest
from aiohttp import web

from asgard_async.api.routes import ROUTES

CONTRACT = {
    ("POST", "/mlops/training/upload"),
    ("GET", "/mlops/training/jobs"),
    ("GET", "/mlops/training/jobs/{job_id}"),
    ("DELETE", "/mlops/training/jobs/{job_id}"),
    ("POST", "/mlops/training/jobs/{job_id}/cancel"),
    ("POST", "/mlops/training/jobs/{job_id}/retry"),
    ("GET", "/mlops/training/jobs/{job_id}/script"),
    ("GET", "/mlops/training/jobs/{job_id}/logs"),
    ("GET", "/mlops/models"),
    ("GET", "/mlops/models/{name}"),
    ("POST", "/mlops/registry"),
    ("GET", "/mlops/status"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
}


def test_the_contract_is_served() -> None:
    assert {(route.method, route.path) for route in ROUTES} >= CONTRACT


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_handler_is_described(route: web.RouteDef) -> None:
    described: dict[str, Any] = getattr(route.handler, "__apispec__", {})
    assert described["summary"]
    assert described["tags"]
    # a WebSocket succeeds with 101
    assert any(status < "300" for status in described["responses"])
    if "{job_id}" in route.path:
        assert "404" in described["responses"]
        names = re.findall(r"\{(\w+)", route.path)
        assert [one["name"] for one in described["parameters"] if one["in"] == "path"] == names


def test_each_handler_has_one_route() -> None:
    """Decorators annotate the function, so two routes would overwrite each other's."""
    assert len({route.handler for route in ROUTES}) == len(ROUTES)
