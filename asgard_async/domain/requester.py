"""The party behind a request, and the jobs that it may read and change."""

from dataclasses import dataclass

from asgard_async.domain.errors import JobNotFound, NotYourJob
from asgard_async.domain.job import Job


@dataclass(frozen=True, kw_only=True)
class Requester:
    """The owner of new jobs, with its access to the jobs of others.

    The defaults describe every client while no token is required.
    """

    owner: str = ""
    """Name of the token; empty while no token is required."""
    is_bounded: bool = False
    """True with a token: at most half of the queue may be its owner's."""
    changes_others: bool = True
    """True for administrators, whose priorities count among the jobs of all owners."""
    reads_others: bool = True

    @property
    def visible_owner(self) -> str | None:
        """The only owner whose jobs are visible; None if all jobs are."""
        return None if self.reads_others else self.owner

    def owns(self, job: Job) -> bool:
        """Return whether a job is the requester's own: only then it may see secrets in it."""
        return job.submitted_by == self.owner

    def check_reads(self, job: Job) -> None:
        """Refuse a job that is invisible, exactly as if it did not exist.

        Raises:
            JobNotFound: the job belongs to another owner, whose jobs are invisible.
        """
        if not self.reads_others and not self.owns(job):
            raise JobNotFound(job.job_id)

    def check_changes(self, job: Job) -> None:
        """Refuse changes to the job of another owner.

        Raises:
            JobNotFound: the job is invisible.
            NotYourJob: the job belongs to another owner.
        """
        self.check_reads(job)
        if not self.changes_others and not self.owns(job):
            raise NotYourJob(job.job_id)


ANYONE = Requester()
"""A client while no token is required."""
