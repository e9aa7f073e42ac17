"""Retention continues, whatever a job left in its directories and caches."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.cli.commands.gc import _collect
from asgard_async.config import load_config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.retention.plan import Kind
from asgard_async.store.database import Database
from asgard_async.supervisor.sandbox.caches import JobCaches
from asgard_async.supervisor.shim import walk
from tests.support.hostile_trees import comb

FEW = 80
"""The number of further files that this process may open."""


@pytest.fixture
async def data(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(root=tmp_path / "data").make()
    async with Database(data.database):
        pass
    return data


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    present = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (present + FEW, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def cache(data: DataDirectory, owner: str) -> Path:
    caches = JobCaches(data.job_caches)
    with caches.opened(caches.of("base", owner), None) as directory:
        return directory


@pytest.mark.usefixtures("few_descriptors")
async def test_deep_caches_do_not_stop_retention(data: DataDirectory) -> None:
    deep, old = cache(data, "attacker"), cache(data, "other")
    comb(deep, 300, name="d" * 250, siblings=2)
    os.utime(old.parent / "lock", (1, 1))
    config = load_config(environ={"ASGARD_DATA_DIR": str(data.root)})
    removals = await _collect(config, data, dry_run=False)
    assert [(one.kind, one.name) for one in removals] == [("cache", f"base/{old.parent.name}")]
    assert deep.exists()
    config = load_config(
        environ={"ASGARD_DATA_DIR": str(data.root), "ASGARD_RETENTION__MAX_CACHES_MB": "1"}
    )
    (removal,) = await _collect(config, data, dry_run=False)
    assert removal.size_bytes >= 300 * 4 * 4096
    assert not deep.exists()


async def test_an_unmeasurable_cache_is_deleted_when_unused(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MAX_MEMORY", 1000)
    comb(cache(data, "attacker"), 2, siblings=100)
    kept = cache(data, "other")
    config = load_config(environ={"ASGARD_DATA_DIR": str(data.root)})
    (removal,) = await _collect(config, data, dry_run=False)
    assert (removal.kind, removal.why) == (Kind.CACHE, "cannot be measured completely")
    assert kept.exists()


async def test_an_error_concerns_one_directory(data: DataDirectory) -> None:
    broken, old = cache(data, "broken"), cache(data, "old")
    lock = broken.parent / "lock"
    lock.unlink()
    lock.symlink_to(lock)  # every access fails
    os.utime(old.parent / "lock", (1, 1))
    config = load_config(environ={"ASGARD_DATA_DIR": str(data.root)})
    removals = await _collect(config, data, dry_run=False)
    assert [one.name for one in removals] == [f"base/{old.parent.name}"]
