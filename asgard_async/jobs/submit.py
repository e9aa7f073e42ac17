"""Accepting a job: content checked, then one durable commit."""

import hashlib
import secrets
import sys
from collections.abc import Callable

from asgard_async.config import JobsConfig
from asgard_async.execution.base_environment import BaseEnvironment
from asgard_async.jobs.checking.checker import ScriptChecker
from asgard_async.jobs.errors import InvalidSubmission, ServiceDraining
from asgard_async.jobs.record import Job, JobSpec, now
from asgard_async.jobs.requirements import parse_requirements
from asgard_async.jobs.submission import Submission
from asgard_async.store.accepting import NewJob
from asgard_async.store.jobs import JobStore


def draw_job_id() -> str:
    """8 lower-case hexadecimal digits at random."""
    return secrets.token_hex(4)


class Submitter:
    """Takes submissions until it is closed. `accepted` is called after each new job."""

    def __init__(
        self,
        *,
        store: JobStore,
        checker: ScriptChecker,
        base: BaseEnvironment,
        config: JobsConfig,
        accepted: Callable[[], None],
    ) -> None:
        self._store = store
        self._checker = checker
        self._base = base
        self._config = config
        self._accepted = accepted
        self._draining = False

    def close(self) -> None:
        """Take no more jobs: the service is stopping."""
        self._draining = True

    async def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Accept a job; it survives any crash once this returns.

        Returns:
            The job, and False when the idempotency key stands for one accepted earlier.

        Raises:
            InvalidSubmission: the script does not compile, or a requirement cannot be met.
            IdempotencyConflict, QueueFull, ServiceDraining: see there.
        """
        if self._draining:
            raise ServiceDraining
        spec = self._specify(submission)
        if submission.idempotency_key is not None:
            twin = await self._store.find_twin(
                submission.owner, submission.idempotency_key, spec.digest()
            )
            if twin is not None:
                return twin, False
        self._check_requirements(submission)
        imports = await self._checker.imports_of(submission.script)
        new = NewJob(
            spec=spec,
            script=submission.script,
            uses_tracking=imports is None or not imports <= sys.stdlib_module_names,
            submitted_by=submission.owner,
            idempotency_key=submission.idempotency_key,
        )
        return await self._accept(new)

    async def submit_again(self, job: Job, owner: str) -> Job:
        """Accept a new job with the specification of `job`, noted as its retry.

        Raises:
            QueueFull, ServiceDraining: see there.
            JobNotFound: the job was deleted meanwhile.
        """
        if self._draining:
            raise ServiceDraining
        new = NewJob(
            spec=job.spec,
            script=await self._store.script(job.job_id),
            uses_tracking=job.uses_tracking,
            submitted_by=owner,
            retry_of=job.job_id,
        )
        return (await self._accept(new))[0]

    async def _accept(self, new: NewJob) -> tuple[Job, bool]:
        job, created = await self._store.accept(
            new, draw_id=draw_job_id, max_queued=self._config.max_queued_jobs, at=now()
        )
        if created:
            self._accepted()
        return job, created

    def _specify(self, submission: Submission) -> JobSpec:
        timeout = submission.timeout
        return JobSpec(
            script_name=submission.script_name,
            script_sha256=hashlib.sha256(submission.script).hexdigest(),
            experiment_name=submission.experiment_name,
            model_name=submission.model_name,
            requirements=tuple(submission.requirements),
            environment_vars=dict(submission.environment_vars),
            timeout=self._config.timeout_default if timeout is None else timeout,
            tags=dict(submission.tags),
            priority=submission.priority,
            warm=submission.warm,
        )

    def _check_requirements(self, submission: Submission) -> None:
        missing = self._base.missing(parse_requirements(submission.requirements))
        if missing:
            raise InvalidSubmission(
                {
                    "requirements": [
                        f"{problem}: not in Asgard's own environment, and this version builds no"
                        " other yet. Install it there, or leave the requirement out."
                        for problem in missing
                    ]
                }
            )
