"""Control groups of version 2, against a model of their files.

The machines that run these tests may lack version 2's controllers (because version 1 has the memory
controller), so the files are in an ordinary directory, as the kernel would write them
(Documentation/admin-guide/cgroup-v2.rst). Only `cgroup.kill` is also tested with the kernel, by
tests/supervisor/limits/test_trees.py.
"""

import os
from pathlib import Path

import pytest

from asgard_async.config import load_config
from asgard_async.supervisor.limits import after_stop, hierarchies
from asgard_async.supervisor.limits.cgroup_settings import CgroupParent
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.hierarchies import Hierarchy, delegate_controllers, find
from asgard_async.supervisor.limits.mechanisms import Mechanism
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.shim.cgroup import Accounts

GROUP_FILES = {
    "cgroup.controllers": "cpu memory pids\n",
    "cgroup.subtree_control": "",
    "cgroup.procs": "",
    "cgroup.type": "domain\n",
    "cgroup.kill": "",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "memory.oom.group": "0\n",
    "pids.max": "max\n",
    "cpu.max": "max 100000\n",
}
V2_MOUNT = "30 23 0:26 / {} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"


def group(directory: Path, **changes: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in {**GROUP_FILES, **changes}.items():
        (directory / name).write_text(text)
    return directory


def proc(directory: Path, own: str, mountinfo: str) -> Path:
    directory.mkdir()
    (directory / "cgroup").write_text(own)
    (directory / "mountinfo").write_text(mountinfo)
    return directory


def test_a_systemd_service_finds_the_group_of_its_unit(tmp_path: Path) -> None:
    unit = group(tmp_path / "system.slice" / "asgard.service")
    group(unit / "service")
    here = proc(
        tmp_path / "proc",
        "0::/system.slice/asgard.service/service\n",
        f"22 1 8:1 / / rw - ext4 /dev/root rw\n{V2_MOUNT.format(tmp_path)}\n",
    )
    (found,) = find(here)
    assert found == Hierarchy(
        version=2,
        directory=unit,
        own=unit / "service",
        controllers=frozenset({"cpu", "memory", "pids"}),
    )


def test_under_older_systemd_it_moves_to_a_subgroup(tmp_path: Path) -> None:
    unit = group(tmp_path / "asgard.service", **{"cgroup.procs": f"{os.getpid()}\n"})
    found = Hierarchy(version=2, directory=unit, own=unit, controllers=frozenset({"memory"}))
    assert delegate_controllers(found) == {"memory"}
    assert (unit / "service" / "cgroup.procs").read_text() == str(os.getpid())
    assert (unit / "cgroup.subtree_control").read_text() == "+memory"


def test_a_shared_group_is_left_alone(tmp_path: Path) -> None:
    scope = group(tmp_path / "session-1.scope", **{"cgroup.procs": f"1\n{os.getpid()}\n"})
    delegate_controllers(
        Hierarchy(version=2, directory=scope, own=scope, controllers=frozenset({"memory"}))
    )
    assert not (scope / "service").exists()


def test_controllers_are_disabled_before_a_restart(tmp_path: Path) -> None:
    """A group without a controller has no file for its limits."""
    unit = group(tmp_path / "asgard.service", **{"cgroup.subtree_control": "memory"})
    parent = group(unit / "asgard-0", **{"cgroup.subtree_control": "memory"})
    job = group(parent / "0badcafe.1", **{"memory.max": "1048576\n", "memory.oom.group": "1\n"})
    after_stop.take_back(unit)
    for directory in (unit, parent):
        assert (directory / "cgroup.subtree_control").read_text() == "-memory"
    for name in ("memory.max", "memory.oom.group"):
        (job / name).write_text("as new")
    after_stop.restore(parent)
    assert (job / "memory.max").read_text() == "1048576"
    assert (job / "memory.oom.group").read_text() == "1"
    (job / "memory.max").write_text("changed since")
    after_stop.restore(parent)
    assert (job / "memory.max").read_text() == "changed since"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_group_owned_by_others_is_not_used(tmp_path: Path) -> None:
    group(tmp_path / "session-1.scope").chmod(0o555)
    mountinfo = f"{V2_MOUNT.format(tmp_path)}\n"
    assert list(find(proc(tmp_path / "proc", "0::/session-1.scope\n", mountinfo))) == []


def test_version_1_works_in_a_container(tmp_path: Path) -> None:
    """The container's own group is mounted, not the root of the hierarchy."""
    for name in ("memory", "cpu,cpuacct", "blkio"):
        group(tmp_path / name)
    mounts = "".join(
        f"3{n} 23 0:2{n} /docker/ab {tmp_path}/{name} rw - cgroup cgroup rw,{name}\n"
        for n, name in enumerate(("memory", "cpu,cpuacct", "blkio"))
    )
    own = "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n3:blkio:/docker/ab\n"
    found = find(proc(tmp_path / "proc", own, mounts))
    assert {(one.version, one.directory.name, one.controllers) for one in found} == {
        (1, "memory", frozenset({"memory"})),
        (1, "cpu,cpuacct", frozenset({"cpu", "cpuacct"})),
    }


def test_limits_of_parent_groups_apply(tmp_path: Path) -> None:
    group(tmp_path / "machine.slice", **{"memory.max": "1073741824\n"})
    unit = group(tmp_path / "machine.slice" / "asgard.service")
    found = Hierarchy(version=2, directory=unit, own=unit, controllers=frozenset({"memory"}))
    assert hierarchies.memory_limit(found) == 1 << 30


def test_the_limits_of_a_job_are_written(tmp_path: Path) -> None:
    parent = CgroupParent(
        version=2,
        directory=group(tmp_path / "asgard-0"),
        controllers=frozenset({"cpu", "memory", "pids"}),
    )
    enforcer = LimitEnforcer(load_config(environ={}).limits, jobs_dir=tmp_path, builds_dir=tmp_path)
    enforcer.parents.append(parent)
    assert {enforcer.mechanisms[name] for name in ("memory", "cpus", "processes")} == {
        Mechanism.CGROUP_V2
    }
    assert enforcer.warning == ""
    resource_limits = ResourceLimits(memory_bytes=1 << 30, cpus=1.5, processes=100, open_files=64)
    limits = enforcer.limits(
        resource_limits, tmp_path / "0badcafe" / "attempts" / "2", own=[], caches=[]
    )
    own = tmp_path / "asgard-0" / "0badcafe.2"
    assert limits["cgroup"]["directories"] == [str(own)]
    assert dict(limits["cgroup"]["settings"]) == {
        f"{own}/memory.max": "1073741824",
        f"{own}/memory.swap.max": "0",
        f"{own}/memory.oom.group": "1",
        f"{own}/pids.max": "100",
        f"{own}/cpu.max": "150000 100000",
    }
    # rlimits have nothing left to enforce
    assert (limits["processes"], enforcer.address_space_bytes(resource_limits)) == (0, 0)


def test_usage_is_read_from_the_kernel(tmp_path: Path) -> None:
    files = {
        "memory.peak": "268435456\n",
        "memory.events": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 4\noom_group_kill 1\n",
        "memory.events.local": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 4\noom_group_kill 1\n",
        "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
    }
    accounts = Accounts([str(group(tmp_path / "0badcafe.1", **files))])
    assert accounts.peak_memory_bytes() == 256 << 20
    assert accounts.cpu_seconds() == 1.5
    assert accounts.oom_kills() == 4
    assert accounts.reached_memory_limit()


def test_an_oom_kill_for_a_parent_group_is_recognised(tmp_path: Path) -> None:
    """The parent group was full, and the event counts there."""
    files = {"memory.events": "oom 0\noom_kill 1\n", "memory.events.local": "oom 0\noom_kill 1\n"}
    accounts = Accounts([str(group(tmp_path / "0badcafe.1", **files))])
    assert (accounts.oom_kills(), accounts.reached_memory_limit()) == (1, False)


def test_without_control_groups_nothing_is_used(tmp_path: Path) -> None:
    accounts = Accounts([])
    assert (accounts.peak_memory_bytes(), accounts.cpu_seconds()) == (None, None)
    assert (accounts.oom_kills(), accounts.reached_memory_limit()) == (0, False)
    enforcer = LimitEnforcer(load_config(environ={}).limits, jobs_dir=tmp_path, builds_dir=tmp_path)
    assert "asgard service install" in enforcer.warning
    assert enforcer.address_space_bytes(ResourceLimits(memory_bytes=5)) == 5
