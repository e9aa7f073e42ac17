"""The monitor provides a snapshot immediately, whatever MLflow does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.monitor import Monitor, TrackingSnapshot
from tests.support.mlflow_servers import MlflowServer, Relay, serving
from tests.support.mlflow_user import MlflowUser, eventually, fresh
from tests.support.service import free_port

EXPERIMENTS, MODELS = "experiments/search", "registered-models/search"
HOUR = 3600.0


@asynccontextmanager
async def watching(
    uri: str, *, refresh_seconds: float = 0.05, timeout_seconds: float = 30, starting: bool = False
) -> AsyncIterator[Monitor]:
    address = MlflowAddress.parse(uri)
    async with MlflowGateway(address, timeout_seconds=timeout_seconds) as gateway:
        monitor = Monitor(gateway, refresh_seconds=refresh_seconds, first_retry_seconds=0.02)
        if starting:
            monitor.expect_start()
        task = asyncio.create_task(monitor.run())
        try:
            yield monitor
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=30)
            assert task.cancelled(), "the monitor died, or cannot be cancelled"


@pytest.mark.mlflow
async def test_the_snapshot_counts_models_and_experiments(
    mlflow_server: MlflowServer, user: MlflowUser, gateway: MlflowGateway
) -> None:
    await user.experiment()
    await gateway.create_registered_model(fresh("counted"))
    async with watching(mlflow_server.uri) as monitor:
        assert await monitor.wait_accessible(30)
        snapshot = monitor.snapshot
    assert snapshot.mlflow_api == "accessible"
    assert snapshot.available
    assert snapshot.active_experiments == len(await gateway.active_experiment_ids())
    assert snapshot.registered_models == len(await gateway.registered_models())
    assert snapshot.latency_ms is not None
    assert snapshot.checked_at is not None


async def test_nothing_is_known_before_the_first_response() -> None:
    async with watching(f"http://127.0.0.1:{free_port()}") as monitor:
        assert monitor.snapshot == TrackingSnapshot()
        await eventually(lambda: monitor.snapshot.checked_at is not None)
        assert monitor.snapshot.mlflow_api == "unreachable"
        assert monitor.snapshot.active_experiments is None
        assert not await monitor.wait_accessible(0)


@pytest.mark.mlflow
async def test_a_hung_server_is_unreachable_and_keeps_counts(
    mlflow_server: MlflowServer,
) -> None:
    async with watching(mlflow_server.uri, timeout_seconds=2) as monitor:
        assert await monitor.wait_accessible(30)
        before = monitor.snapshot
        with mlflow_server.stopped():
            await eventually(lambda: not monitor.snapshot.available)
            held = monitor.snapshot
        assert held.mlflow_api == "unreachable"
        assert held.active_experiments == before.active_experiments
        assert held.registered_models == before.registered_models
        assert held.latency_ms is None
        assert await monitor.wait_accessible(30)


@pytest.mark.mlflow
async def test_a_server_is_starting_until_it_first_responds(
    relay: Relay,
) -> None:
    relay.fail(EXPERIMENTS, 502)
    async with watching(relay.uri, starting=True) as monitor:
        await eventually(lambda: relay.seen[EXPERIMENTS] >= 3)
        seen = [monitor.snapshot.mlflow_api]
        relay.recover()
        assert await monitor.wait_accessible(30)
        relay.fail(EXPERIMENTS, 502)
        await eventually(lambda: not monitor.snapshot.available)
        seen.append(monitor.snapshot.mlflow_api)
    assert seen == ["starting", "unreachable"]


async def test_garbage_means_unreachable_and_monitoring_goes_on() -> None:
    async def garbage(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x00" * 100, content_type="application/json")

    async with serving(garbage) as uri, watching(uri) as monitor:
        await eventually(lambda: monitor.snapshot.checked_at is not None)
        first = monitor.snapshot.checked_at
        await eventually(lambda: monitor.snapshot.checked_at != first)
        assert monitor.snapshot.mlflow_api == "unreachable"


@pytest.mark.mlflow
async def test_a_server_without_a_registry_is_accessible(
    relay: Relay, relayed: MlflowGateway
) -> None:
    async def refuse_registry(request: web.Request) -> web.StreamResponse:
        if request.path.endswith(MODELS):
            return web.json_response({"error_code": "ENDPOINT_NOT_FOUND"}, status=404)
        return await relay.handle(request)

    async with serving(refuse_registry) as uri, watching(uri) as monitor:
        assert await monitor.wait_accessible(30)
        assert monitor.snapshot.registered_models is None
        assert monitor.snapshot.active_experiments is not None


@pytest.mark.mlflow
async def test_check_now_does_not_wait_for_the_interval(relay: Relay) -> None:
    async with watching(relay.uri, refresh_seconds=HOUR) as monitor:
        assert await monitor.wait_accessible(30)
        seen = relay.seen[EXPERIMENTS]
        monitor.check_now()
        await eventually(lambda: relay.seen[EXPERIMENTS] > seen)


@pytest.mark.mlflow
async def test_waiters_are_held_until_the_next_check(relay: Relay) -> None:
    async with watching(relay.uri, refresh_seconds=HOUR) as monitor:
        assert await monitor.wait_accessible(30)
        assert await monitor.wait_accessible(0)
        gate = relay.gate(EXPERIMENTS)
        monitor.report_failure()
        assert not await monitor.wait_accessible(0)
        gate.set()
        assert await monitor.wait_accessible(30)


@pytest.mark.mlflow
async def test_a_lasting_problem_is_logged_once(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    relay.fail(EXPERIMENTS, 502)
    async with watching(relay.uri):
        await eventually(lambda: relay.seen[EXPERIMENTS] >= 4)
    assert caplog.text.count("answered 502") == 1


async def test_a_nudge_does_not_swallow_cancellation() -> None:
    async with watching(f"http://127.0.0.1:{free_port()}", refresh_seconds=HOUR) as monitor:
        await eventually(lambda: monitor.snapshot.checked_at is not None)
        monitor.check_now()
