"""Accepting a job: content checked, then one durable commit."""

import hashlib
import secrets
import sys
from collections.abc import Callable

from asgard_async.config import JobsConfig
from asgard_async.core.files.free_space import FreeSpace
from asgard_async.core.timestamps import now
from asgard_async.domain.errors import (
    ArchiveNotKept,
    AsgardError,
    DiskShort,
    NotIsolated,
    ServiceDraining,
)
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.submission import Submission
from asgard_async.jobs.submit.checking.archives import ArchiveChecker
from asgard_async.jobs.submit.checking.checker import ScriptChecker
from asgard_async.jobs.submit.requirements import parse_requirements
from asgard_async.store.accepting import NewJob
from asgard_async.store.archives import ArchiveStore
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
        archives: ArchiveStore,
        checker: ScriptChecker,
        archive_checker: ArchiveChecker,
        config: JobsConfig,
        free_space: FreeSpace,
        direct_references: bool,
        isolation_problem: Callable[[], str | None],
        accepted: Callable[[], None],
    ) -> None:
        self._store = store
        self._archives = archives
        self._checker = checker
        self._archive_checker = archive_checker
        self._config = config
        self._free_space = free_space
        self._direct_references = direct_references
        self._isolation_problem = isolation_problem
        self._accepted = accepted
        self._draining = False

    def close(self) -> None:
        """Take no more jobs: the service is stopping."""
        self._draining = True

    def refuse_if_closed(self) -> None:
        """To be asked before work is put into a submission.

        Raises:
            ServiceDraining, NotIsolated, DiskShort: see there.
        """
        if self._draining:
            raise ServiceDraining
        if problem := self._isolation_problem():
            raise NotIsolated(problem)
        if self._free_space.is_short():
            raise DiskShort

    async def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Accept a job; it survives any crash once this returns.

        Returns:
            The job, and False when the idempotency key stands for one accepted earlier.

        Raises:
            InvalidSubmission: the script does not compile, its archive is not taken, or a
                requirement cannot be met.
            IdempotencyConflict, QueueFull, ServiceDraining, DiskShort: see there.
        """
        self.refuse_if_closed()
        spec = self._specify(submission)
        if submission.idempotency_key is not None:
            twin = await self._store.find_twin(
                submission.owner, submission.idempotency_key, spec.digest()
            )
            if twin is not None:
                return twin, False
        parse_requirements(submission.requirements, direct_references=self._direct_references)
        imports = await self._imports(submission)
        archive = submission.archive
        new = NewJob(
            spec=spec,
            script=submission.script if archive is None else None,
            archive=archive.name if archive is not None else None,
            # of an archive too much may be imported by name to rely on what was read
            uses_tracking=archive is not None
            or imports is None
            or not imports <= sys.stdlib_module_names,
            imports=imports,
            submitted_by=submission.owner,
            idempotency_key=submission.idempotency_key,
        )
        return await self._accept(new)

    async def _imports(self, submission: Submission) -> frozenset[str] | None:
        """What the script is known to import at most; None where that is not known."""
        if submission.archive is None:
            return await self._checker.imports_of(submission.script, submission.owner)
        assert submission.entrypoint is not None  # noqa: S101  # they come together
        program = await self._archive_checker.program_in(
            submission.entrypoint,
            self._archives.path(submission.archive.name),
            submission.owner,
        )
        await self._checker.imports_of(program.source, submission.owner)
        return program.imports

    async def submit_again(self, job: Job, owner: str) -> Job:
        """Accept a new job with the specification of `job`, noted as its retry.

        Raises:
            QueueFull, ServiceDraining, DiskShort: see there.
            JobNotFound: the job was deleted meanwhile.
            ArchiveNotKept: see there.
        """
        self.refuse_if_closed()
        new = NewJob(
            spec=job.spec,
            script=await self._store.script(job.job_id) if job.archive is None else None,
            archive=await self._share_archive(job),
            uses_tracking=job.uses_tracking,
            imports=job.imports,
            submitted_by=owner,
            retry_of=job.job_id,
        )
        return (await self._accept(new))[0]

    async def _share_archive(self, job: Job) -> str | None:
        if job.archive is None:
            return None
        try:
            return await self._archives.share(job.archive)
        except FileNotFoundError:
            await self._store.get(job.job_id)  # JobNotFound, if it was deleted meanwhile
            raise ArchiveNotKept(job.job_id) from None

    async def _accept(self, new: NewJob) -> tuple[Job, bool]:
        if new.archive is not None:
            await self._archives.persist(new.archive)
        try:
            job, created = await self._store.accept(
                new, draw_id=draw_job_id, max_queued=self._config.max_queued_jobs, at=now()
            )
        except AsgardError:
            await self._discard(new)
            raise
        # Whatever else is raised, a cancellation too, leaves open whether there is a row: then the
        # archive stays, and goes when the service starts again if there is none.
        if created:
            self._accepted()
        else:
            await self._discard(new)
        return job, created

    async def _discard(self, new: NewJob) -> None:
        if new.archive is not None:
            await self._archives.remove(new.archive)

    def _specify(self, submission: Submission) -> JobSpec:
        timeout, archive = submission.timeout, submission.archive
        return JobSpec(
            script_name=submission.script_name,
            script_sha256=(
                hashlib.sha256(submission.script).hexdigest() if archive is None else archive.sha256
            ),
            entrypoint=submission.entrypoint,
            experiment_name=submission.experiment_name,
            model_name=submission.model_name,
            requirements=tuple(submission.requirements),
            environment_vars=dict(submission.environment_vars),
            timeout=self._config.timeout_default if timeout is None else timeout,
            tags=dict(submission.tags),
            priority=submission.priority,
            warm=submission.warm,
            memory_mb=submission.memory_mb,
            cpus=submission.cpus,
        )
