"""The submitter: checks the content of a submission, then accepts it in one durable commit."""

import asyncio
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

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
from asgard_async.domain.job import Job, JobSpec, is_notebook_name
from asgard_async.domain.requester import Requester
from asgard_async.domain.submission import Revision, Submission
from asgard_async.jobs.submit.checking.archives import ArchiveChecker
from asgard_async.jobs.submit.checking.checker import ScriptChecker
from asgard_async.jobs.submit.requirements import QUICK_CHARACTERS, parse_requirements
from asgard_async.store.accepting import NewJob
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore


def draw_job_id() -> str:
    """Return a random job id: 8 lower-case hexadecimal digits."""
    return secrets.token_hex(4)


class Submitter:
    """Accepts submissions until it is closed. `accepted` is called after each new job."""

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
        executor_problem: Callable[[], str | None],
        accepted: Callable[[], None],
    ) -> None:
        self._store = store
        self._archives = archives
        self._checker = checker
        self._archive_checker = archive_checker
        self._config = config
        self._free_space = free_space
        self._direct_references = direct_references
        self._executor_problem = executor_problem
        self._accepted = accepted
        self._draining = False

    def close(self) -> None:
        """Stop accepting jobs: the service is stopping."""
        self._draining = True

    def refuse_if_closed(self) -> None:
        """Refuse submissions that cannot be accepted now, before spending any work on them.

        Raises:
            ServiceDraining: the service is stopping.
            NotIsolated: jobs cannot be isolated as configured.
            DiskShort: too little disk space is free.
        """
        if self._draining:
            raise ServiceDraining
        if problem := self._executor_problem():
            raise NotIsolated(problem)
        if self._free_space.is_short():
            raise DiskShort

    async def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Accept a job. Once this returns, the job survives any crash.

        Returns:
            The job, and False if the idempotency key belongs to a job accepted earlier.

        Raises:
            InvalidSubmission: the script does not compile, or its archive or a requirement is
                invalid.
            IdempotencyConflict: the idempotency key was used for another submission.
            QueueFull, QueueShareUsed: the queue is full, or its owner has half of it.
            ServiceDraining, NotIsolated, DiskShort: see `refuse_if_closed`.
        """
        self.refuse_if_closed()
        spec, key = submission.spec, submission.idempotency_key
        if (twin := await self._twin(submission.requester, key, spec)) is not None:
            return twin, False
        await self._check_requirements(spec.requirements)
        imports = await self._imports(submission)
        archive = submission.archive
        new = NewJob(
            spec=spec,
            script=submission.script if archive is None else None,
            archive=archive.name if archive is not None else None,
            # an archive may import more at run time than was found in its modules
            uses_tracking=archive is not None or _may_use_tracking(imports),
            imports=imports,
            submitted_by=submission.requester.owner,
            has_global_priority=submission.requester.changes_others,
            idempotency_key=key,
        )
        return await self._accept(new, submission.requester)

    async def _twin(self, requester: Requester, key: str | None, spec: JobSpec) -> Job | None:
        """Return the job that was accepted with the same key and specification."""
        if key is None:
            return None
        return await self._store.find_twin(requester.owner, key, spec.digest())

    async def _check_requirements(self, texts: Sequence[str]) -> None:
        check = partial(parse_requirements, texts, direct_references=self._direct_references)
        if sum(map(len, texts)) > QUICK_CHARACTERS:
            await asyncio.to_thread(check)
        else:
            check()

    async def _imports(self, submission: Submission) -> frozenset[str] | None:
        """Return the packages that the script may import; None if unknown."""
        owner = submission.requester.owner
        if submission.archive is None:
            return await self._checker.imports_of(
                submission.script, owner, is_notebook=submission.spec.is_notebook
            )
        entrypoint = submission.spec.entrypoint
        return await self._imports_of_archive(entrypoint, submission.archive.name, owner)

    async def _imports_of_archive(
        self, entrypoint: str | None, archive: str, owner: str
    ) -> frozenset[str] | None:
        assert entrypoint is not None  # noqa: S101  # an archive has an entrypoint
        path = self._archives.path(archive)
        program = await self._archive_checker.program_in(entrypoint, path, owner)
        is_notebook = is_notebook_name(entrypoint)
        imports = await self._checker.imports_of(program.source, owner, is_notebook=is_notebook)
        if not is_notebook:
            return program.imports
        if imports is None or program.imports is None:
            return None
        return imports | program.imports

    def spec_for_retry(self, job: Job, requester: Requester) -> tuple[JobSpec, Sequence[str]]:
        """Return a job's specification as `requester` may run it again.

        The environment variables of another owner's job are left out: they may be secrets, and the
        new job runs with the caches of its own owner.

        Returns:
            The specification, and the names of the fields that were left out.
        """
        if job.submitted_by != requester.owner and job.spec.environment_vars:
            return replace(job.spec, environment_vars={}), ["environment_vars"]
        return job.spec, []

    async def submit_again(
        self, job: Job, revision: Revision, omitted: Sequence[str], requester: Requester
    ) -> Job:
        """Accept a new job with a revised specification of `job`, recorded as its retry.

        Returns:
            The new job, or the one that already has the idempotency key.

        Raises:
            JobNotFound: the job was deleted meanwhile.
            ArchiveNotKept: its archive was deleted.
            InvalidSubmission: the script does not compile, or a requirement is invalid.
            IdempotencyConflict: the idempotency key was used for another submission.
            QueueFull, QueueShareUsed: the queue is full, or its owner has half of it.
            ServiceDraining, NotIsolated, DiskShort: see `refuse_if_closed`.
        """
        self.refuse_if_closed()
        spec, key = revision.spec, revision.idempotency_key
        if (twin := await self._twin(requester, key, spec)) is not None:
            return twin
        if spec.requirements != job.spec.requirements:
            await self._check_requirements(spec.requirements)
        archive = await self._share_archive(job)
        try:
            imports, uses_tracking = await self._program_of(job, revision, archive, requester)
        except BaseException:
            if archive is not None:
                await self._archives.remove(archive)
            raise
        script = revision.script
        if script is None and job.archive is None:
            script = await self._store.script(job.job_id)
        new = NewJob(
            spec=spec,
            script=script,
            archive=archive,
            uses_tracking=uses_tracking,
            imports=imports,
            submitted_by=requester.owner,
            has_global_priority=requester.changes_others,
            idempotency_key=key,
            retry_of=job.job_id,
            detail=_retry_detail(job.job_id, revision.changed, omitted),
        )
        return (await self._accept(new, requester))[0]

    async def _program_of(
        self, job: Job, revision: Revision, archive: str | None, requester: Requester
    ) -> tuple[frozenset[str] | None, bool]:
        """Check a changed program; return its imports, and whether it may use MLflow."""
        if revision.script is not None:
            imports = await self._checker.imports_of(
                revision.script, requester.owner, is_notebook=revision.spec.is_notebook
            )
            return imports, _may_use_tracking(imports)
        if archive is not None and revision.spec.entrypoint != job.spec.entrypoint:
            entrypoint = revision.spec.entrypoint
            imports = await self._imports_of_archive(entrypoint, archive, requester.owner)
            return imports, True
        return job.imports, job.uses_tracking

    async def _share_archive(self, job: Job) -> str | None:
        if job.archive is None:
            return None
        try:
            return await self._archives.share(job.archive)
        except FileNotFoundError:
            await self._store.get(job.job_id)  # raises JobNotFound if it was deleted meanwhile
            raise ArchiveNotKept(job.job_id) from None

    async def _accept(self, new: NewJob, requester: Requester) -> tuple[Job, bool]:
        limit = self._config.max_queued_jobs
        if new.archive is not None:
            await self._archives.persist(new.archive)
        try:
            job, created = await self._store.accept(
                new,
                draw_id=draw_job_id,
                max_queued=limit,
                max_queued_of_owner=(limit + 1) // 2 if requester.is_bounded else None,
                at=now(),
            )
        except AsgardError:
            await self._discard(new)
            raise
        # After any other exception, including a cancellation, the row may or may not exist: the
        # archive stays, and the next start removes it if there is no row.
        if created:
            self._accepted()
        else:
            await self._discard(new)
        return job, created

    async def _discard(self, new: NewJob) -> None:
        if new.archive is not None:
            await self._archives.remove(new.archive)


def _may_use_tracking(imports: frozenset[str] | None) -> bool:
    return imports is None or not imports <= sys.stdlib_module_names


def _retry_detail(job_id: str, changed: Sequence[str], omitted: Sequence[str]) -> str | None:
    """Return the remark in the history of a retry that differs from the original job."""
    remarks = []
    if changed:
        remarks.append(f"differs from job {job_id} in {', '.join(changed)}")
    if omitted:
        remarks.append(
            f"without the environment variables of job {job_id}, which another token submitted"
        )
    return "; ".join(remarks) or None
