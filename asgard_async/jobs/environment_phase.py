"""Phase ENVIRONMENT: a job waits for its environment if the base environment is not enough."""

import contextlib
from collections.abc import AsyncIterator

from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.executors.base import Executor
from asgard_async.jobs.cancellable_waits import CancellableWaits, JobCancelled


class EnvironmentPhase:
    """Provides jobs with the environments that the executor builds."""

    def __init__(self, *, cancellable_waits: CancellableWaits, executor: Executor) -> None:
        self._cancellable_waits = cancellable_waits
        self._executor = executor

    def first_phase(self, spec: JobSpec) -> Phase:
        """Return the phase that a job enters when it leaves the queue."""
        if self._executor.environment_for(spec.requirements) is None:
            return Phase.STARTING
        return Phase.ENVIRONMENT

    @contextlib.asynccontextmanager
    async def provided(self, job: Job) -> AsyncIterator[EnvironmentSpec | None]:
        """Provide the job's environment inside the context; None is the base environment.

        Raises:
            EnvironmentFailed: the environment cannot be made available.
            JobCancelled: the job was cancelled meanwhile.
        """
        environment = self._executor.environment_for(job.spec.requirements, job_id=job.job_id)
        if environment is None:
            yield None
            return
        async with contextlib.AsyncExitStack() as stack:
            available = self._executor.environment(environment, job_id=job.job_id)
            try:
                await self._cancellable_waits.unless_cancelled(
                    job.job_id, stack.enter_async_context(available)
                )
            except JobCancelled:
                await self._executor.abandon(environment)
                raise
            yield environment
