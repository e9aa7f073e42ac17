"""Fixtures for the tests of limits."""

import os
from pathlib import Path

import pytest

from asgard_async.config import load_config
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.mechanisms import Mechanism


@pytest.fixture(scope="session")
def control_groups(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip the test if a service could not use control groups for all limits."""
    probe = tmp_path_factory.mktemp("probe")
    enforcer = LimitEnforcer(load_config(environ={}).limits, jobs_dir=probe, builds_dir=probe)
    enforcer.open()
    mechanisms = enforcer.mechanisms
    enforcer.close()
    cgroups = {Mechanism.CGROUP_V1, Mechanism.CGROUP_V2}
    missing = [name for name in ("memory", "cpus", "processes") if mechanisms[name] not in cgroups]
    if missing:
        pytest.skip(f"no control group that can be written limits {', '.join(missing)} here")


def groups_of(job_id: str) -> list[Path]:
    """The existing control groups of a job."""
    # not by a glob, which fails if other groups disappear meanwhile
    return [
        Path(folder, name)
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(f"{job_id}.")
    ]
