"""Bounds on what the service reads from MLflow: in a list, and in many responses at a time."""

import asyncio
import itertools
import json
import tracemalloc

import msgspec
import pytest
from aiohttp import web

from asgard_async.mlflow import gateway as gateway_module
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.connection import MAX_RESPONSE_BYTES
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import ResponseTooLarge
from asgard_async.mlflow.wire import MAX_TAG_CHARACTERS, Run
from tests.support.mlflow_servers import serving

TOGETHER = 16
BLOCK = b" " * (64 << 10)


def open_gateway(uri: str) -> MlflowGateway:
    return MlflowGateway(MlflowAddress.parse(uri), timeout_seconds=60)


async def test_a_list_that_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [{"name": "x" * 1000} for _ in range(10)]
    pages = itertools.cycle([{"registered_models": models, "next_page_token": "10"}, {}])

    async def two_pages(_: web.Request) -> web.StreamResponse:
        return web.json_response(next(pages))

    async with serving(two_pages) as uri, open_gateway(uri) as gateway:
        assert len(await gateway.registered_models()) == len(models)
        monkeypatch.setattr(gateway_module, "MAX_LIST_BYTES", 10_000)
        with pytest.raises(ResponseTooLarge, match="list exceeds"):
            await gateway.registered_models()
        next(pages)
        with pytest.raises(ResponseTooLarge, match="list exceeds"):
            await gateway.search_model_versions("")
        next(pages)
        assert await gateway.count_registered_models() == len(models)


async def test_an_endless_list_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "MAX_PAGES", 5)
    requests = 0

    async def another_page(_: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        return web.json_response({"next_page_token": "more"} if requests < 50 else {})

    async with serving(another_page) as uri, open_gateway(uri) as gateway:
        with pytest.raises(ResponseTooLarge, match="more than 5 pages"):
            await gateway.active_experiment_ids()
    assert requests == 5


async def test_large_responses_are_read_one_at_a_time() -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range((MAX_RESPONSE_BYTES - 1000) // len(BLOCK)):
            await response.write(BLOCK)
        await response.write(b'{"experiment": {"experiment_id": "1"}}')
        return response

    async with serving(large) as uri, open_gateway(uri) as gateway:
        tracemalloc.start()
        try:
            await asyncio.gather(*(gateway.experiment_named("x") for _ in range(TOGETHER)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # one response while it grows, and the beginnings of all others
    assert peak < 6 * MAX_RESPONSE_BYTES < TOGETHER * MAX_RESPONSE_BYTES // 2


def test_of_tags_only_short_ones_with_known_keys_are_kept() -> None:
    """A job may set any tag of its runs, Asgard's own included, to any length."""
    tags = [
        {"key": "asked", "value": "x" * MAX_TAG_CHARACTERS},
        {"key": "asked, too", "value": "x" * (MAX_TAG_CHARACTERS + 1)},
        {"key": "other", "value": "x"},
    ]
    document = {"info": {"run_id": "1", "experiment_id": "1"}, "data": {"tags": tags}}
    run = msgspec.json.decode(json.dumps(document), type=Run)
    assert run.selected_tags({"asked", "asked, too"}) == {"asked": "x" * MAX_TAG_CHARACTERS}
