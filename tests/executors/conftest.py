"""The executors that the contract suite runs over."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from asgard_async.config import load_config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.domain.attempt import AttemptId
from asgard_async.environments.provider import create_environment_provider
from asgard_async.executors.base import Executor
from asgard_async.executors.local.executor import LocalExecutor
from asgard_async.executors.local.job_files import LocalJobFiles
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from tests.support.plain_executor.executor import UNKNOWN, PlainExecutor
from tests.support.processes import processes_with


class Site(Protocol):
    """An executor that can be closed and opened again, as by a restart."""

    unknown_requirement: str
    """A requirement whose environment cannot be built."""

    def opened(self) -> AbstractAsyncContextManager[Executor]:
        """Open a new executor on the files that earlier ones left."""

    def crash(self, attempt: AttemptId) -> None:
        """Kill everything that runs an attempt, from outside and without a trace."""


class LocalSite:
    """The local executor, without isolation and fork servers: they have their own tests."""

    unknown_requirement = "no-such-package-of-asgard @ file:///nonexistent/package.whl"

    def __init__(self, root: Path) -> None:
        self._data = DataDirectory(root=root).make()
        self._config = load_config(
            environ={}, overrides={"isolation": {"level": "process"}, "warm": {"enabled": False}}
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Executor]:
        config, data = self._config, self._data
        selector = IsolationSelector(config, data)
        await selector.choose()
        enforcer = LimitEnforcer(config.limits, jobs_dir=data.jobs, builds_dir=data.builds)
        environments = create_environment_provider(
            config, data, selector, enforcer=enforcer, compile_niceness=0
        )
        executor = LocalExecutor(
            jobs_dir=data.jobs,
            files=LocalJobFiles(data),
            log_limit_bytes=1 << 20,
            archive_limits=ArchiveLimits(max_members=100, max_unpacked_bytes=1 << 20),
            in_use=data.in_use,
            limits=config.limits,
            environments=environments,
            warm=WarmServers(config.warm, data=data, base_alone=True),
            selector=selector,
            enforcer=enforcer,
        )
        executor.open()
        yield executor
        executor.close()
        await environments.close()

    def crash(self, attempt: AttemptId) -> None:
        directory = self._data.jobs / attempt.job_id / "attempts" / str(attempt.number)
        kill(str(directory))


class PlainSite:
    """The second executor, which exists only for tests."""

    unknown_requirement = UNKNOWN

    def __init__(self, root: Path) -> None:
        self._root = root

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Executor]:
        yield PlainExecutor(self._root)

    def crash(self, attempt: AttemptId) -> None:
        kill(str(self._root / f"{attempt.job_id}.{attempt.number}"))


def kill(marker: str) -> None:
    for pid in processes_with(marker):
        with contextlib.suppress(
            ProcessLookupError
        ):  # it has just exited together with another one
            os.kill(pid, signal.SIGKILL)


SITES: dict[str, Callable[[Path], Site]] = {"local": LocalSite, "plain": PlainSite}


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return SITES[request.param](tmp_path)


@pytest.fixture
async def executor(site: Site, tmp_path: Path) -> AsyncIterator[Executor]:
    async with site.opened() as opened:
        yield opened
    kill(str(tmp_path))  # attempts that a test left running
