"""The executor of jobs, as part of the application.

To add an executor, add it to `EXECUTORS`; no code outside of this package depends on its kind.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from aiohttp import web

from asgard_async.config import JobsConfig
from asgard_async.config.component import CONFIG
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.component import READINESS
from asgard_async.executors.admission import Admission, SlotAdmission
from asgard_async.executors.base import Executor, JobFiles
from asgard_async.executors.local.component import local_executor, local_job_files
from asgard_async.logs.component import LOG_SOURCE

EXECUTOR = web.AppKey[Executor]("executor")
ADMISSION = web.AppKey[Admission]("admission")


@dataclass(frozen=True, kw_only=True)
class ExecutorKind:
    """A kind of executor that the service can run jobs with."""

    open: Callable[[web.Application], AbstractAsyncContextManager[Executor]]
    """A context in which the executor starts attempts and reads logs."""
    job_files: Callable[[DataDirectory], JobFiles]
    """Access to the files of jobs without a running service, for `asgard gc`."""
    admission: Callable[[JobsConfig], Admission]
    """The policy that decides whether another job may run."""


EXECUTORS = {
    "local": ExecutorKind(
        open=local_executor,
        job_files=local_job_files,
        admission=lambda jobs: SlotAdmission(jobs.slots),
    )
}
"""The kinds of executors by name."""
DEFAULT = "local"


async def executor(app: web.Application) -> AsyncIterator[None]:
    """Run attempts of jobs."""
    kind = EXECUTORS[DEFAULT]
    app[ADMISSION] = kind.admission(app[CONFIG].jobs)
    async with kind.open(app) as opened:
        app[EXECUTOR] = opened
        app[LOG_SOURCE] = opened.logs
        app[READINESS].unless(lambda: opened.problem)
        yield


async def prewarm(app: web.Application) -> AsyncIterator[None]:
    """Prepare for quick starts, after the jobs of an earlier service process are resumed."""
    app[EXECUTOR].prewarm()
    yield


def job_files(data: DataDirectory) -> JobFiles:
    """Return the files of jobs in a data directory; no service needs to run."""
    return EXECUTORS[DEFAULT].job_files(data)
