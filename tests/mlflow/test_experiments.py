"""Experiments are created once, before jobs start; an unreachable MLflow blocks no job."""

import asyncio

import pytest

from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.experiments import Experiments
from asgard_async.mlflow.gateway import MlflowGateway
from tests.support.mlflow_servers import Relay
from tests.support.mlflow_user import MlflowUser, all_of, eventually, fresh
from tests.support.service import free_port

pytestmark = pytest.mark.mlflow

GET, CREATE = "experiments/get-by-name", "experiments/create"


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_concurrent_callers_make_one_request(relay: Relay, relayed: MlflowGateway) -> None:
    experiments = Experiments(relayed, wait_seconds=30)
    name = fresh("wanted")
    ids = await all_of(*(experiments.ensure_experiment(name) for _ in range(10)))
    assert len(set(ids)) == 1
    assert ids[0] is not None
    assert (relay.seen[GET], relay.seen[CREATE]) == (1, 1)


async def test_racing_creators_get_the_same_experiment(
    relay: Relay, relayed: MlflowGateway
) -> None:
    name = fresh("raced")
    rivals = [Experiments(relayed, wait_seconds=30) for _ in range(5)]
    together = relay.gate(CREATE)
    waiting = asyncio.gather(*(rival.ensure_experiment(name) for rival in rivals))
    await eventually(lambda: relay.seen[CREATE] == len(rivals))
    together.set()
    ids = await waiting
    assert len(set(ids)) == 1
    assert ids[0] is not None


async def test_a_known_experiment_is_cached_until_it_expires(
    relay: Relay, relayed: MlflowGateway
) -> None:
    clock = Clock()
    experiments = Experiments(relayed, wait_seconds=30, ttl_seconds=60, clock=clock)
    name = fresh("kept")
    first = await experiments.ensure_experiment(name)
    clock.now = 59
    assert await experiments.ensure_experiment(name) == first
    assert relay.seen[GET] == 1
    clock.now = 61
    assert await experiments.ensure_experiment(name) == first
    assert relay.seen[GET] == 2


async def test_a_cancelled_caller_does_not_affect_the_others(
    relay: Relay, relayed: MlflowGateway
) -> None:
    experiments = Experiments(relayed, wait_seconds=30)
    name = fresh("shared")
    gate = relay.gate(GET)
    impatient = asyncio.create_task(experiments.ensure_experiment(name))
    patient = asyncio.create_task(experiments.ensure_experiment(name))
    await eventually(lambda: relay.seen[GET] == 1)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    gate.set()
    assert await patient is not None


async def test_waiting_for_a_slow_mlflow_is_bounded(relay: Relay, relayed: MlflowGateway) -> None:
    experiments = Experiments(relayed, wait_seconds=0.05)
    relay.gate(GET)
    assert await experiments.ensure_experiment(fresh("slow")) is None
    await experiments.aclose()


async def test_closing_ends_the_wait_of_every_caller(relay: Relay, relayed: MlflowGateway) -> None:
    experiments = Experiments(relayed, wait_seconds=30)
    relay.gate(GET)
    name = fresh("closing")
    callers = asyncio.gather(*(experiments.ensure_experiment(name) for _ in range(2)))
    await eventually(lambda: relay.seen[GET] == 1)
    await experiments.aclose()
    assert await callers == [None, None]


async def test_an_absent_mlflow_gives_none(caplog: pytest.LogCaptureFixture) -> None:
    address = MlflowAddress.parse(f"http://127.0.0.1:{free_port()}")
    async with MlflowGateway(address, timeout_seconds=30) as gateway:
        assert await Experiments(gateway, wait_seconds=30).ensure_experiment("x") is None
    assert "cannot be reached" in caplog.text


async def test_a_failure_is_not_cached(relay: Relay, relayed: MlflowGateway) -> None:
    experiments = Experiments(relayed, wait_seconds=30)
    name = fresh("late")
    relay.fail(GET, 503)
    assert await experiments.ensure_experiment(name) is None
    relay.recover()
    assert await experiments.ensure_experiment(name) is not None


async def test_deleted_and_rejected_experiments_give_none(
    gateway: MlflowGateway, user: MlflowUser, caplog: pytest.LogCaptureFixture
) -> None:
    experiments = Experiments(gateway, wait_seconds=30)
    name = fresh("deleted")
    await user.call("POST", "experiments/delete", {"experiment_id": await user.experiment(name)})
    assert await experiments.ensure_experiment(name) is None
    assert "until it is restored" in caplog.text
    assert await experiments.ensure_experiment("x" * 501) is None
