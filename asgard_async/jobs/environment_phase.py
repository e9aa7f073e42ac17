"""Phase ENVIRONMENT: a job whose requirements the base environment does not satisfy waits for one
that does."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase
from asgard_async.environments.cache import CachedEnvironment
from asgard_async.environments.output import JobLogCopy
from asgard_async.environments.provider import EnvironmentProvider
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.jobs.cancellable_waits import CancellableWaits, JobCancelled


class EnvironmentPhase:
    """Gets jobs their environment."""

    def __init__(
        self,
        *,
        cancellable_waits: CancellableWaits,
        environments: EnvironmentProvider,
        log_of: Callable[[str], Path],
        log_limit_bytes: int,
    ) -> None:
        self._cancellable_waits = cancellable_waits
        self._environments = environments
        self._log_of = log_of
        self._log_limit = log_limit_bytes

    def first_phase(self, spec: JobSpec) -> Phase:
        """The phase in which a job leaves the queue."""
        if self._environments.is_base(spec.requirements):
            return Phase.STARTING
        return Phase.ENVIRONMENT

    @contextlib.asynccontextmanager
    async def provided(self, job: Job) -> AsyncIterator[CachedEnvironment]:
        """The job's environment, built if need be, and kept inside of the context.

        Raises:
            BuildFailed: it cannot be built.
            Interrupted: the job was cancelled meanwhile.
        """
        environment_spec = self._environments.spec_for(job.spec.requirements, job_id=job.job_id)
        while True:
            with self._environments.held(environment_spec) as environment:
                if environment is not None:
                    yield environment
                    return
            await self._build(job, environment_spec)

    async def _build(self, job: Job, environment_spec: EnvironmentSpec) -> None:
        log = JobLogCopy(self._log_of(job.job_id), limit_bytes=self._log_limit)
        try:
            await self._cancellable_waits.unless_cancelled(
                job.job_id, self._environments.build(environment_spec, log)
            )
        except JobCancelled:
            await self._environments.abandon(environment_spec)
            raise
