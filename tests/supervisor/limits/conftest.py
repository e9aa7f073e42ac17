"""What the tests of limits need of the machine."""

import os
from pathlib import Path

import pytest

from asgard_async.config import load_config
from asgard_async.supervisor.limits.enforcer import LimitEnforcer, Mechanism


@pytest.fixture(scope="session")
def control_groups(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where a service could limit nothing by control groups."""
    probe = tmp_path_factory.mktemp("probe")
    enforcer = LimitEnforcer(load_config(environ={}).limits, jobs_dir=probe, builds_dir=probe)
    enforcer.open()
    kept = enforcer.mechanisms
    enforcer.close()
    by_groups = {Mechanism.CGROUP_V1, Mechanism.CGROUP_V2}
    missing = [name for name in ("memory", "cpus", "processes") if kept[name] not in by_groups]
    if missing:
        pytest.skip(f"no control group that can be written limits {', '.join(missing)} here")


def groups_of(job_id: str) -> list[Path]:
    """The control groups of a job that exist."""
    # not by a glob, which fails where others' groups go meanwhile
    return [
        Path(folder, name)
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(f"{job_id}.")
    ]
