"""How many fork servers there are."""

import sys
from pathlib import Path

from asgard_async.config import load_config
from asgard_async.domain.attempt import AttemptId
from asgard_async.domain.status import ColdReason
from asgard_async.executors.base import AttemptRequest
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from tests.support.eventually import eventually


def request(environment: Path) -> AttemptRequest:
    """A job of a built environment, with an interpreter under a name of its own."""
    environment.mkdir()
    python = environment / "python"
    python.symlink_to(sys.executable)
    (environment / "lock").touch()
    return AttemptRequest(
        attempt=AttemptId(job_id="j", number=1),
        script_name="train.py",
        python=python,
        held=[environment / "lock"],
        environment={},
        timeout=60,
        grace=1,
        resource_limits=ResourceLimits(),
    )


async def test_the_number_of_fork_servers_is_bounded(
    tmp_path: Path,
) -> None:
    config = load_config(environ={"ASGARD_WARM__MAX_SERVERS": "2", "ASGARD_WARM__PRELOAD": "[]"})
    servers = WarmServers(
        config.warm, directory=tmp_path / "warm", cache_dir=tmp_path, base_alone=False
    )
    servers.start()
    try:
        launches = [request(tmp_path / name) for name in "abcd"]
        for one in launches:
            assert servers.choose(one, frozenset(), {}, 0) is ColdReason.NOT_READY
        assert servers.servers == 2
        await eventually(lambda: servers.ready == 2, what="the base's and the last one's are ready")
        assert not isinstance(servers.choose(launches[-1], frozenset(), {}, 0), ColdReason)
        # the base environment's stays
        names = {path.name for path in (tmp_path / "warm").iterdir()}
        assert {"base", "d"} <= names
    finally:
        await servers.close()
    assert servers.servers == 0
