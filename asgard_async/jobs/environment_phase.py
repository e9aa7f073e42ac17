"""Phase ENVIRONMENT: a job whose requirements the base environment does not satisfy waits for one
that does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from asgard_async.execution.environments.cache import CachedEnvironment
from asgard_async.execution.environments.key import Recipe
from asgard_async.execution.environments.output import JobLogCopy
from asgard_async.execution.environments.provision import Environments
from asgard_async.jobs.record import Job, JobSpec
from asgard_async.jobs.status import Phase
from asgard_async.store.jobs import JobStore


class Interrupted(Exception):
    """The job was cancelled while it waited for its environment."""


class EnvironmentPhase:
    """Gets jobs their environment."""

    def __init__(
        self,
        *,
        store: JobStore,
        environments: Environments,
        log_of: Callable[[str], Path],
        log_limit_bytes: int,
    ) -> None:
        self._store = store
        self._environments = environments
        self._log_of = log_of
        self._log_limit = log_limit_bytes
        self._building: dict[str, asyncio.Task[None]] = {}

    def first_phase(self, spec: JobSpec) -> Phase:
        """The phase in which a job leaves the queue."""
        if self._environments.is_base(spec.requirements):
            return Phase.STARTING
        return Phase.ENVIRONMENT

    def interrupt(self, job_id: str) -> None:
        """The job was cancelled: if it waits for a build, it need not any longer."""
        if (building := self._building.get(job_id)) is not None:
            building.cancel()

    @contextlib.asynccontextmanager
    async def provided(self, job: Job) -> AsyncIterator[CachedEnvironment]:
        """The job's environment, built if need be, and kept inside of the context.

        Raises:
            BuildFailed: it cannot be built.
            Interrupted: the job was cancelled meanwhile.
        """
        recipe = self._environments.recipe(job.spec.requirements)
        while True:
            with self._environments.held(recipe) as environment:
                if environment is not None:
                    yield environment
                    return
            await self._build(job, recipe)

    async def _build(self, job: Job, recipe: Recipe) -> None:
        log = JobLogCopy(self._log_of(job.job_id), limit_bytes=self._log_limit)
        building = asyncio.create_task(
            self._environments.build(recipe, log), name=f"environment of {job.job_id}"
        )
        self._building[job.job_id] = building
        try:
            if (await self._store.get(job.job_id)).cancel_requested_at is not None:
                building.cancel()  # before it could be interrupted
            await building
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                building.cancel()
                raise  # the service stops; the build goes on
            await self._environments.abandon(recipe)
            raise Interrupted from None
        finally:
            del self._building[job.job_id]
