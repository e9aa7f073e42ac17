"""Retrying a job: its specification runs again as a new job."""

from collections.abc import Callable, Sequence

from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.requester import Requester
from asgard_async.domain.submission import Revision
from asgard_async.jobs.submit.submitter import Submitter
from asgard_async.store.jobs import JobStore


class Retrier:
    """Submits jobs again."""

    def __init__(self, *, store: JobStore, submitter: Submitter) -> None:
        self._store = store
        self._submitter = submitter

    async def retry(
        self,
        job_id: str,
        requester: Requester,
        revise: Callable[[Job, JobSpec], Revision] | None = None,
    ) -> tuple[Job, Sequence[str]]:
        """Submit the specification and script of a job again.

        `revise` changes the specification; it gets the job, and the specification without the
        fields that are left out.

        Returns:
            The new job, and the names of the fields that were left out; see
            `Submitter.spec_for_retry`.

        Raises:
            JobNotFound: there is no such job.
            NotYourJob: the job belongs to another owner.
            ArchiveNotKept: the job's archive was deleted.
            InvalidSubmission: the revised submission is not valid.
            IdempotencyConflict: the idempotency key was used for another submission.
            AsgardError: no jobs are accepted at the moment; see `Submitter.submit_again`.
        """
        job = await self._store.get(job_id)
        requester.check_changes(job)
        spec, omitted = self._submitter.spec_for_retry(job, requester)
        revision = revise(job, spec) if revise is not None else Revision(spec=spec)
        return await self._submitter.submit_again(job, revision, omitted, requester), omitted
