"""Attempts whose keepers are spawned or forked, cold or warm."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asgard_async.supervisor.keeper_server import ColdServers, KeeperServer
from tests.support.eventually import eventually
from tests.support.fork_servers import fork_server
from tests.support.processes import processes_with
from tests.support.started_attempt import StartedAttempt


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["spawned", "cold", "warm"])
async def keeper_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KeeperServer | None]:
    """The server that forks the keepers of all attempts, or None for spawned ones."""
    if request.param == "spawned":
        yield None
    elif request.param == "cold":
        cold = ColdServers()
        yield cold.server()
        cold.close()
    else:
        async with fork_server(tmp_path_factory.mktemp("server")) as server:
            yield server


@pytest_asyncio.fixture(loop_scope="module")
async def started(
    tmp_path: Path, keeper_server: KeeperServer | None
) -> AsyncIterator[StartedAttempt]:
    """A new attempt; fails the test if it leaves a process, or ends the server."""
    yield StartedAttempt(tmp_path / "1", keeper_server)
    assert keeper_server is None or keeper_server.is_alive()
    await eventually(lambda: not processes_with(str(tmp_path)), what="no process left")
