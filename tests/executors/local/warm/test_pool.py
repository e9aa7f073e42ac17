"""The number of fork servers."""

import sys
from pathlib import Path

from asgard_async.config import load_config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.domain.attempt import AttemptId
from asgard_async.domain.status import ColdReason
from asgard_async.environments.cache import CachedEnvironment
from asgard_async.executors.base import AttemptRequest
from asgard_async.executors.local.interpreter import Interpreter
from asgard_async.executors.local.warm.pool import WarmServers
from tests.support.eventually import eventually

REQUEST = AttemptRequest(
    attempt=AttemptId(job_id="j", number=1),
    script_name="train.py",
    variables={},
    timeout=60,
    grace=1,
)


def interpreter(directory: Path) -> Interpreter:
    """The interpreter of a built environment."""
    environment = CachedEnvironment(directory=directory)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    environment.lock.touch()
    return Interpreter(environment=environment)


async def test_the_number_of_fork_servers_is_bounded(
    tmp_path: Path,
) -> None:
    config = load_config(environ={"ASGARD_WARM__MAX_SERVERS": "2", "ASGARD_WARM__PRELOAD": "[]"})
    data = DataDirectory(root=tmp_path)
    servers = WarmServers(config.warm, data=data, base_alone=False)
    servers.start()
    try:
        interpreters = [interpreter(tmp_path / name) for name in "abcd"]
        for one in interpreters:
            assert servers.choose(REQUEST, one, frozenset(), {}, 0) is ColdReason.NOT_READY
        assert servers.servers == 2
        await eventually(lambda: servers.ready == 2, what="the base's and the last one's are ready")
        server = servers.choose(REQUEST, interpreters[-1], frozenset(), {}, 0)
        assert not isinstance(server, ColdReason)
        # the base environment's stays
        names = {path.name for path in (tmp_path / "warm").iterdir()}
        assert {"base", "d"} <= names
    finally:
        await servers.close()
    assert servers.servers == 0
