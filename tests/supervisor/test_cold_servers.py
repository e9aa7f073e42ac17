"""The server of cold attempts: it is replaced when it dies, and attempts work without it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.domain.attempt import End
from asgard_async.supervisor.keeper_server import ColdServers
from tests.support.eventually import eventually
from tests.support.started_attempt import StartedAttempt


@pytest.fixture
def cold() -> Iterator[ColdServers]:
    servers = ColdServers()
    yield servers
    servers.close()


async def ran(directory: Path, cold: ColdServers) -> bool:
    started = StartedAttempt(directory, cold.server())
    ended = await started.run("open('runs', 'a').write('x')")
    assert (ended.end, ended.exit_code) == (End.EXITED, 0)
    return (directory / "work" / "runs").read_text() == "x"


async def test_attempts_share_one_server(tmp_path: Path, cold: ColdServers) -> None:
    server = cold.server()
    assert await ran(tmp_path / "1", cold)
    assert await ran(tmp_path / "2", cold)
    assert cold.server() is server


async def test_a_killed_server_is_replaced(tmp_path: Path, cold: ColdServers) -> None:
    first = cold.server()
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: not first.is_alive(), what="it has ended")
    assert await ran(tmp_path / "1", cold)
    second = cold.server()
    assert second is not None
    assert second.pid != first.pid


async def test_an_attempt_is_spawned_when_its_server_dies(
    tmp_path: Path, cold: ColdServers
) -> None:
    server = cold.server()
    assert server is not None
    started = StartedAttempt(tmp_path / "1", server)
    os.kill(server.pid, signal.SIGKILL)
    ended = await started.run("open('runs', 'a').write('x')")
    assert (ended.end, ended.exit_code) == (End.EXITED, 0)
    assert (tmp_path / "1" / "work" / "runs").read_text() == "x"


async def test_forked_attempts_outlive_their_server(tmp_path: Path, cold: ColdServers) -> None:
    started = StartedAttempt(tmp_path / "1", cold.server())
    script = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)"
    await started.start(started.spec(script))
    cold.close()
    (tmp_path / "1" / "work" / "go").touch()
    ended = await started.attempt.wait()
    assert (ended.end, ended.exit_code, ended.killed) == (End.EXITED, 0, False)
