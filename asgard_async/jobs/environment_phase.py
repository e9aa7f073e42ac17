"""Phase ENVIRONMENT: a job waits for its environment if the base environment is not enough."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial

from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.executors.base import EnvironmentFailed, Executor
from asgard_async.jobs.cancellable_waits import CancellableWaits, JobCancelled

logger = logging.getLogger(__name__)


class EnvironmentPhase:
    """Provides jobs with the environments that the executor builds."""

    def __init__(self, *, cancellable_waits: CancellableWaits, executor: Executor) -> None:
        self._cancellable_waits = cancellable_waits
        self._executor = executor

    def first_phase(self, spec: JobSpec) -> Phase:
        """Return the phase that a job enters when it leaves the queue."""
        try:
            if self._executor.environment_for(spec.needed_requirements) is None:
                return Phase.STARTING
        except Exception:
            # the job fails in that phase; here, it would stay in the queue before all others
            logger.exception("requirements of the next job cannot be evaluated")
        return Phase.ENVIRONMENT

    @contextlib.asynccontextmanager
    async def provided(self, job: Job) -> AsyncIterator[EnvironmentSpec | None]:
        """Provide the job's environment inside the context; None is the base environment.

        Raises:
            EnvironmentFailed: the environment cannot be made available.
            JobCancelled: the job was cancelled meanwhile.
        """
        try:
            # in a thread: a thousand long requirements take a second
            environment = await asyncio.to_thread(
                partial(
                    self._executor.environment_for,
                    job.spec.needed_requirements,
                    job_id=job.job_id,
                    imports=job.imports,
                )
            )
        except Exception as error:
            logger.exception("requirements of job %s cannot be evaluated", job.job_id)
            raise EnvironmentFailed(
                "The job's requirements cannot be evaluated; check their markers (after ';')."
            ) from error
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
